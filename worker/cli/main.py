"""`python -m worker …`: the same settings as the worker's, from the environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn

import typer
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.live import Live

from worker.cli.subprocesses import Stopped, StopRequests
from worker.cli.watch import AWAY, Board, Listener, describe, table
from worker.config.logs import setup_logging
from worker.config.settings import Settings, SettingsError, load_settings
from worker.intake.announce import announce
from worker.keys import InvalidRequest, ScanId, parse_scan_id, scan_ids_in
from worker.ledger.base import LedgerError
from worker.ledger.opening import open_ledger
from worker.queue import Send
from worker.scans.status import ScanStatus, Status, now, read_status
from worker.storage.base import Storage, StorageError
from worker.storage.opening import open_storages

NOT_USABLE: Final = 2
REFRESH_S: Final = 0.5

_HELP: Final = (
    "Put scans into the queue, and see what becomes of them. Settings are taken from the environment, as the"
    " worker's: docs/settings.md."
)
# Typer's own tracebacks print local variables, and with them passwords.
cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
errors = Console(stderr=True)

ScanIds = Annotated[list[str], typer.Argument(metavar="SCAN_ID...", help="Letters, digits, _ and -.")]


@cli.command()
def enqueue(
    scan_ids: ScanIds,
    force: Annotated[bool, typer.Option("--force", help="Also those that are done, or set aside.")] = False,
) -> None:
    """Put scans into the queue. Either all of the ids are right, or none is put there."""
    settings, _, results = _open()
    send = _sender()
    for scan_id in _checked(scan_ids):
        with _told():
            announce(scan_id, settings, results, send, force=force)
        typer.echo(f"{scan_id}: queued")


@cli.command()
def replay(
    scan_ids: Annotated[list[str] | None, typer.Argument(metavar="[SCAN_ID...]")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All scans that have failed.")] = False,
) -> None:
    """Put scans back into the queue that have failed, also those set aside (`poison`, time limit)."""
    if bool(scan_ids) == failed:
        _fail("give either scan ids or --failed")
    settings, _, results = _open()
    send = _sender()
    with _told():
        scan_id = None
        for scan_id in _failed(results) if failed else _checked(scan_ids or []):
            open_ledger(settings).release_quarantine(scan_id)
            announce(scan_id, settings, results, send)
            typer.echo(f"{scan_id}: queued")
        if scan_id is None:
            typer.echo("no scan has failed")


@cli.command()
def reconcile(
    sweep: Annotated[bool, typer.Option("--all", help="Look through all of the storage too.")] = False,
) -> None:
    """Put scans back into the queue that were announced and for which nobody answers any more."""
    from worker.scans.reconcile import reconcile as send_overdue

    settings, scans, results = _open()
    with _told():
        sent = send_overdue(settings, scans, results, _sender(), sweep=sweep)
    for scan_id in sent:
        typer.echo(f"{scan_id}: queued again")
    if not sent:
        typer.echo("no scan had to be sent again")


@cli.command()
def status(
    scan_id: Annotated[str, typer.Argument(metavar="SCAN_ID")],
    as_json: Annotated[bool, typer.Option("--json", help="Print status.json as it is stored.")] = False,
) -> None:
    """Say what became of a scan. Exit code 1 if it failed, 3 if nothing is known of it."""
    _, _, results = _open()
    found = _read(results, _checked([scan_id])[0])
    if found is None:
        errors.print(f"{scan_id}: nothing is known of this scan", markup=False)
        raise typer.Exit(3)
    typer.echo(found.model_dump_json(indent=2) if as_json else describe(found))
    if found.status is Status.FAILED:
        raise typer.Exit(1)


@cli.command()
def watch(
    scan_ids: Annotated[list[str] | None, typer.Argument(metavar="[SCAN_ID...]")] = None,
) -> None:
    """Show scans live. With ids: until all of them are done, exit code 1 if one failed. Without: all scans
    that anybody works on from now on, until Ctrl-C."""
    from worker.app import app

    _, _, results = _open()
    wanted = _checked(scan_ids or [])
    board = Board(wanted)
    console = Console()
    try:
        with (
            StopRequests() as stop,
            Listener(app, board, enabled=not wanted) as listener,
            Live(console=console, auto_refresh=False) as live,
        ):
            while True:
                stop.check()
                for scan_id in board.open_scans():
                    board.update(scan_id, _read(results, scan_id))
                live.update(table(board, now(), AWAY if listener.away else None), refresh=True)
                if wanted and board.finished():
                    break
                time.sleep(REFRESH_S)
    except Stopped:
        raise typer.Exit(130 if wanted else 0) from None
    finally:
        if not console.is_terminal:
            console.line()  # which Live leaves out there
    if board.failed():
        raise typer.Exit(1)


@cli.command()
def health(
    node: Annotated[str | None, typer.Argument(metavar="[NODE]", help="As in `celery worker -n`.")] = None,
) -> None:
    """Say whether the worker of this machine does its work. Exit code 1 if it does not."""
    from worker.app import app
    from worker.cli.health import Unhealthy, check, read_sign, waiting_messages
    from worker.runtime.heartbeat import file_of

    try:
        path = file_of(load_settings(), node)
        check(lambda: read_sign(path), lambda queues: waiting_messages(app, queues))
    except SettingsError as error:
        _fail(error.message)
    except Unhealthy as error:
        typer.echo(f"unhealthy: {error}")
        raise typer.Exit(1) from None
    typer.echo("healthy")


def _open() -> tuple[Settings, Storage, Storage]:
    try:
        settings = load_settings()
        return settings, *open_storages(settings)
    except SettingsError as error:
        _fail(error.message)
    except StorageError as error:
        _fail(str(error))


def _sender() -> Send:
    from worker.app import app  # makes the app; `status` does without Celery
    from worker.queue import sender

    # Sending has no use for the result store, but Celery would connect to it all the same.
    app.backend_cls = "disabled"
    return sender(app)


@contextmanager
def _told() -> Iterator[None]:
    """End with the reason where something is away."""
    try:
        yield
    except (StorageError, LedgerError) as error:
        _fail(str(error))
    except OperationalError:
        _fail("the broker cannot be reached (CELERY_BROKER_URL)")


def _failed(results: Storage) -> Iterator[ScanId]:
    for scan_id in scan_ids_in(results.folders()):
        status = read_status(results, scan_id)
        if status is not None and status.status is Status.FAILED:
            yield scan_id


def _checked(scan_ids: Iterable[str]) -> list[ScanId]:
    try:
        return [parse_scan_id(each) for each in scan_ids]
    except InvalidRequest as error:
        _fail(str(error))


def _read(results: Storage, scan_id: ScanId) -> ScanStatus | None:
    try:
        return read_status(results, scan_id)
    except StorageError as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    errors.print(f"Error: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(NOT_USABLE)


def main() -> None:
    """Run the command line. What it says goes to standard output; the log, to standard error."""
    setup_logging(level="WARNING")
    cli()
