"""`python -m worker …`: the command line. It takes the settings of the worker, from the environment."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn

import typer
from kombu.exceptions import OperationalError
from rich.console import Console

from worker.cli.board import describe, row_of
from worker.cli.operate import doctor, metrics
from worker.cli.report import report
from worker.cli.watch import watch
from worker.config.logs import get_logger, setup_logging
from worker.config.settings import Settings, SettingsError, load_settings, misspelt_settings
from worker.intake.announce import announce
from worker.keys import InvalidRequest, ScanId, parse_scan_id, scan_ids_in
from worker.ledger.base import LedgerError
from worker.ledger.opening import open_ledger
from worker.queue import Send
from worker.scans.cancel import Cancelling, cancel
from worker.scans.status import Status, read_status
from worker.scans.tombstones import ScanErased
from worker.storage.base import Storage, StorageError
from worker.storage.opening import open_storages

EXIT_FAILED: Final = 1  # the scan has failed
EXIT_UNHEALTHY: Final = 1
EXIT_UNUSABLE: Final = 2  # an argument, a setting or a server
EXIT_UNKNOWN: Final = 3  # nothing is known about the scan
REFRESH_S: Final = 0.5
CANCEL_WAIT_S: Final = 30.0

_HELP: Final = (
    "Put scans into the queue, and show what becomes of them. The settings are those of the worker and come"
    " from the environment: docs/settings.md."
)
# Typer's own tracebacks print local variables, and with them passwords.
cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
errors = Console(stderr=True)

ScanIds = Annotated[list[str], typer.Argument(metavar="SCAN_ID...", help="Letters, digits, _ and -.")]
OptionalScanIds = Annotated[list[str] | None, typer.Argument(metavar="[SCAN_ID...]")]


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """Print the reason and exit if an argument, a setting or a server cannot be used."""
    try:
        yield
    except SettingsError as error:
        _fail(error.message)
    except (InvalidRequest, StorageError, LedgerError, ScanErased) as error:
        _fail(str(error))
    except OperationalError:
        _fail("the broker cannot be reached (CELERY_BROKER_URL)")


@cli.command()
@_exit_on_error()
def enqueue(
    scan_ids: Annotated[
        list[str],
        typer.Argument(metavar="SCAN_ID...|-", help="Letters, digits, _ and -. - alone: read lines."),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Analyse scans again that are completed or in quarantine.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Take scans that were erased.")] = False,
) -> None:
    """Put scans into the queue. If one of the ids is wrong, none is put there.

    With `-`, the ids are read from standard input, one a line. There a line that cannot be used keeps no
    other scan from the queue; it is told with its number, and the exit code is 1.

    Warn if a scan has no files, or if no worker takes from the queue.
    """
    from worker.app import app
    from worker.cli.prospects import warnings_about

    settings, scans, results = _open()
    send = _sender()
    refused = 0
    if "-" in scan_ids:
        from worker.cli.enqueue import enqueue_lines
        from worker.intake.announce import BulkAnnouncer
        from worker.queue import batch_sender

        if len(scan_ids) > 1:
            _fail("give either scan ids, or - to read them from standard input")
        announcer = BulkAnnouncer(settings, results, send, batch_sender(app), force=force, again=again)
        parsed: list[ScanId] = []
        queued, refused = enqueue_lines(sys.stdin.buffer, announcer, parsed)
    else:
        parsed = _parse(scan_ids)
        queued = len(parsed)
        for scan_id in parsed:
            announce(scan_id, settings, results, send, force=force, again=again)
            typer.echo(f"{scan_id}: queued")
    if parsed:
        for warning in warnings_about(app, settings.queue, scans, parsed, queued):
            errors.print(f"Warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if refused:
        raise typer.Exit(EXIT_FAILED)


@cli.command()
@_exit_on_error()
def replay(
    scan_ids: OptionalScanIds = None,
    failed: Annotated[bool, typer.Option("--failed", help="All scans that have failed.")] = False,
) -> None:
    """Put failed scans back into the queue, also those in quarantine (`poison`, time limit)."""
    if bool(scan_ids) == failed:
        _fail("give either scan ids or --failed")
    settings, _, results = _open()
    send = _sender()
    scan_id = None
    for scan_id in _failed_scans(results) if failed else _parse(scan_ids or []):
        open_ledger(settings).release_quarantine(scan_id)
        announce(scan_id, settings, results, send)
        typer.echo(f"{scan_id}: queued")
    if scan_id is None:
        typer.echo("no scan has failed")


@cli.command()
@_exit_on_error()
def reconcile(
    sweep: Annotated[bool, typer.Option("--all", help="Look through all of the storage too.")] = False,
) -> None:
    """Put overdue scans back into the queue: scans that no worker reported on before their deadline."""
    from worker.app import app
    from worker.broker.waiting import waiting_scans
    from worker.scans.reconcile import reconcile as send_overdue

    settings, scans, results = _open()
    send = _sender()
    sent = send_overdue(settings, scans, results, send, waiting=lambda: waiting_scans(app), sweep=sweep)
    for scan_id in sent:
        typer.echo(f"{scan_id}: queued again")
    if not sent:
        typer.echo("no scan had to be sent again")


@cli.command("cancel")
@_exit_on_error()
def cancel_scans(scan_ids: ScanIds) -> None:
    """Cancel scans that wait, are worked on or are to be tried again. Announce them again to take it back.

    A worker ends a scan at its next step; the command waits for that. The exit code is 1 if it takes longer.
    """
    settings, _, results = _open()
    asked = []
    for scan_id in _parse(scan_ids):
        match cancel(scan_id, settings, results):
            case Cancelling.ASKED:
                asked.append(scan_id)
            case found:
                typer.echo(f"{scan_id}: {found.value}{' before' if found is Cancelling.FINISHED else ''}")
    until = time.monotonic() + CANCEL_WAIT_S
    while asked and time.monotonic() < until:
        time.sleep(REFRESH_S)
        for scan_id in asked[:]:
            status = read_status(results, scan_id)
            if status is not None and status.status.final:
                typer.echo(f"{scan_id}: {status.status.value}")
                asked.remove(scan_id)
    for scan_id in asked:
        typer.echo(f"{scan_id}: not yet: its worker ends it at its next step, or the next one does")
    if asked:
        raise typer.Exit(EXIT_FAILED)


@cli.command()
@_exit_on_error()
def erase(scan_ids: ScanIds) -> None:
    """Erase scans: results, status, messages, events, all that names them. Their own files stay.

    The exit code is 1 if a worker has one of the scans, or if something may be left.
    """
    from worker.app import app
    from worker.erasure.erase import Eraser
    from worker.erasure.report import describe_erasure

    complete = True
    eraser = Eraser(*_open(), app)
    for erasure in eraser.erase(_parse(scan_ids), reason="request"):
        typer.echo(describe_erasure(erasure))
        complete &= erasure.complete
    if not complete:
        raise typer.Exit(EXIT_FAILED)


@cli.command()
@_exit_on_error()
def status(
    scan_id: Annotated[str, typer.Argument(metavar="SCAN_ID")],
    as_json: Annotated[bool, typer.Option("--json", help="Print status.json as it is stored.")] = False,
) -> None:
    """Show the status of a scan.

    The exit code is 1 if the scan failed or was cancelled, 3 if nothing is known about it.
    """
    settings, _, results = _open()
    parsed = parse_scan_id(scan_id)
    found = read_status(results, parsed)
    if found is None and not as_json and open_ledger(settings).is_open(parsed):
        # Its producer wrote no status. The worker that begins with it does.
        return typer.echo(f"{scan_id}: queued")
    if found is None:
        errors.print(f"{scan_id}: nothing is known about this scan", markup=False)
        raise typer.Exit(EXIT_UNKNOWN)
    typer.echo(found.model_dump_json(indent=2) if as_json else describe(row_of(found)))
    if found.status in (Status.FAILED, Status.CANCELLED):
        raise typer.Exit(EXIT_FAILED)


cli.command()(_exit_on_error()(watch))


@cli.command()
@_exit_on_error()
def health(
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="As in `celery worker -n`.")] = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Also whether it can do scans: model, broker, storages.")
    ] = False,
) -> None:
    """Check the worker of this machine. The exit code is 1 if it does not live and is to be restarted.

    With --ready, the exit code is also 1 if it cannot do scans, for example because the broker is away. A
    restart does not help then.
    """
    from worker.app import app
    from worker.cli.health import Unhealthy, check_alive, check_ready, read_heartbeat, waiting_messages
    from worker.runtime.heartbeat import heartbeat_file
    from worker.scans.services import problem_of_services

    settings = load_settings()
    try:
        path = heartbeat_file(settings, node)
        last = check_alive(lambda: read_heartbeat(path), lambda queues: waiting_messages(app, queues))
    except Unhealthy as error:
        typer.echo(f"unhealthy: {error}")
        raise typer.Exit(EXIT_UNHEALTHY) from None
    if not ready:
        return typer.echo("healthy")
    try:
        check_ready(
            last,
            lambda queues: waiting_messages(app, queues),
            lambda: problem_of_services(settings, write=False),
        )
    except Unhealthy as error:
        typer.echo(f"not ready: {error}")
        raise typer.Exit(EXIT_UNHEALTHY) from None
    typer.echo("ready")


cli.command()(doctor)
cli.command()(_exit_on_error()(metrics))
cli.command()(_exit_on_error()(report))


def _open() -> tuple[Settings, Storage, Storage]:
    settings = load_settings()
    return settings, *open_storages(settings)


def _sender() -> Send:
    from worker.app import app  # makes the app; `status` needs no Celery
    from worker.queue import sender

    # Sending needs no result store, but Celery would connect to it.
    app.backend_cls = "disabled"
    return sender(app)


def _failed_scans(results: Storage) -> Iterator[ScanId]:
    for scan_id in scan_ids_in(results.folders()):
        status = read_status(results, scan_id)
        if status is not None and status.status is Status.FAILED:
            yield scan_id


def _parse(scan_ids: Iterable[str]) -> list[ScanId]:
    return [parse_scan_id(each) for each in scan_ids]


def _fail(reason: str) -> NoReturn:
    errors.print(f"Error: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_UNUSABLE)


def main() -> None:
    """Run the command line. Output goes to standard output, the log to standard error."""
    setup_logging(level="WARNING")
    for variable, nearest in misspelt_settings():
        get_logger(__name__).warning("variable_unknown", variable=variable, nearest=nearest)
    cli()
