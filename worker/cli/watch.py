"""`python -m worker watch`: follow scans at a terminal, or as lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated, Final, Protocol

import typer
from rich.console import Console
from rich.live import Live

from worker.cli.board import Board, Row, as_json, line, row_of, table
from worker.cli.subprocesses import Stopped, StopRequests
from worker.config.settings import load_settings
from worker.keys import ScanId, parse_scan_id
from worker.scans.event_reader import UNREADABLE, EventReader, open_event_reader
from worker.scans.status import Status, now, read_status
from worker.scans.transfer import read_result
from worker.storage.base import Storage
from worker.storage.opening import open_storages

EXIT_FAILED: Final = 1
REFRESH_S: Final = 0.5
RETRY_S: Final = 2.0
AWAY: Final = "the events cannot be read, so what is new is not seen; trying again"


class Display(Protocol):
    """Shows rows. `finished` and `changed` are called for what is new, `refresh` every half second."""

    def changed(self, row: Row) -> None: ...

    def refresh(self, rows: list[Row], problem: str) -> None: ...


class JsonLines:
    """Prints each change as a line of JSON."""

    def changed(self, row: Row) -> None:
        typer.echo(json.dumps(as_json(row, now())))

    def refresh(self, rows: list[Row], problem: str) -> None: ...


class TextLines:
    """Prints each change of a scan's status as a line of text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[ScanId, Status | None] = {}
        self._problem = ""

    def changed(self, row: Row) -> None:
        if self._told.get(row.scan_id) is row.status and not row.final:
            return
        self._told[row.scan_id] = row.status
        if row.final:
            del self._told[row.scan_id]
        self._console.print(line(row, now()), soft_wrap=True, highlight=False)

    def refresh(self, rows: list[Row], problem: str) -> None:
        if problem and problem != self._problem:
            self._console.print(problem, markup=False, soft_wrap=True, highlight=False)
        self._problem = problem


class LiveTable:
    """Shows scans that are not finished in a table; those that are finished scroll away above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def changed(self, row: Row) -> None:
        if row.final:
            self._live.console.print(line(row, now()), soft_wrap=True, highlight=False)

    def refresh(self, rows: list[Row], problem: str) -> None:
        self._live.update(table(rows, now(), problem), refresh=True)


def watch(
    scan_ids: Annotated[list[str] | None, typer.Argument(metavar="[SCAN_ID...]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each change as a line of JSON.")] = False,
    history: Annotated[
        int, typer.Option(min=0, max=10_000, help="Without ids: first show so many scans that are finished.")
    ] = 20,
) -> None:
    """Follow scans: stage, age, outcome and verdict. It reads the events that workers send.

    With ids, the command ends when these scans are finished. The exit code is 1 if one failed or was
    cancelled.

    Without ids, it begins with the latest scans, and follows all until Ctrl-C.
    """
    settings = load_settings()
    wanted = [parse_scan_id(each) for each in scan_ids or []]
    console = Console()
    failed = False
    try:
        with StopRequests() as stop, ExitStack() as shown:
            display = _display(console, shown, as_json=as_json)
            if wanted:
                failed = follow_statuses(open_storages(settings)[1], wanted, display, stop.check)
            else:
                follow_events(open_event_reader(settings), display, stop.check, history)
    except Stopped:
        raise typer.Exit(130 if wanted else 0) from None
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _display(console: Console, shown: ExitStack, *, as_json: bool) -> Display:
    if as_json:
        return JsonLines()
    if not console.is_terminal:
        return TextLines(console)
    return LiveTable(shown.enter_context(Live(console=console, auto_refresh=False)))


def follow_events(
    reader: EventReader, display: Display, check: Callable[[], None], history: int, wait_s: float = REFRESH_S
) -> None:
    """Show all scans until `check` raises.

    Args:
        reader: Reads the events.
        display: Shows the scans.
        check: Called at least once a second.
        history: Number of finished scans of earlier events that are shown first.
        wait_s: Longest time between two calls of `display.refresh`.
    """
    board = Board()
    problem, first = "", True
    while True:
        check()
        try:
            changed = [row for event in reader.read(wait_s) if (row := board.apply(event)) is not None]
            problem = ""
        except UNREADABLE:
            changed, problem = [], AWAY
        if first and not problem:
            changed, first = _history(changed, board, history), False
        for row in changed:
            display.changed(row)
        display.refresh(board.rows(), problem)
        if problem:
            _sleep(RETRY_S, check)


def _history(changed: Sequence[Row], board: Board, most: int) -> list[Row]:
    """Return the latest scans that are finished, then those that are not, each once."""
    latest = {row.scan_id: row for row in changed if row.final}
    finished = sorted(latest.values(), key=_end)
    return [*finished[len(finished) - min(most, len(finished)) :], *board.rows()]


def _end(row: Row) -> datetime:
    assert row.finished_at is not None
    return row.finished_at


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        check()
        time.sleep(min(REFRESH_S, seconds))


def follow_statuses(
    results: Storage, scan_ids: Sequence[ScanId], display: Display, check: Callable[[], None]
) -> bool:
    """Show scans by their `status.json` until all are finished. Return whether one failed or was cancelled.

    An event may have been dropped before this began, so events do not tell whether a scan is finished.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    rows = {scan_id: Row(scan_id) for scan_id in scan_ids}
    while True:
        check()
        for scan_id, known in rows.items():
            if known.final:
                continue
            row = _read_row(results, scan_id) or known
            if row != known:
                rows[scan_id] = row
                display.changed(row)
        display.refresh(list(rows.values()), "")
        if all(row.final for row in rows.values()):
            return any(row.status is not Status.COMPLETED for row in rows.values())
        time.sleep(REFRESH_S)


def _read_row(results: Storage, scan_id: ScanId) -> Row | None:
    status = read_status(results, scan_id)
    if status is None:
        return None
    result = read_result(results, scan_id) if status.status is Status.COMPLETED else None
    return row_of(status, result.verdict.value if result is not None and result.verdict else "")
