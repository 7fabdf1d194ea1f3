from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from tests.support.running import wait_until
from worker.cli.watch import BROKER_AWAY, REMEMBERED, Board, Listener, describe, scans_of, table
from worker.keys import ScanId
from worker.scans.status import ScanStatus, Stage, Status

SCAN = ScanId("scan")

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_status(scan_id: str = "scan", status: Status = Status.PROGRESS, **fields: object) -> ScanStatus:
    return ScanStatus.model_validate(
        {"scan_id": scan_id, "status": status, "started_at": START, "updated_at": START, **fields}
    )


def shown(board: Board, seconds: float = 3) -> list[str]:
    console = Console(width=120, record=True, file=StringIO())
    console.print(table(board, START + timedelta(seconds=seconds)))
    return [" ".join(line.replace("│", "").split()) for line in console.export_text().splitlines()]


def test_a_row_says_what_is_done_to_a_scan():
    board = Board([SCAN, ScanId("new")])
    board.update(SCAN, make_status(stage=Stage.ANALYSE, frames_done=3, frames=9, attempt=1))
    assert "scan progress analyse, frame 3 of 9 3.0 1" in shown(board)
    assert "new waiting" in shown(board)


def test_a_reason_is_shown_as_it_is():
    board = Board([SCAN])
    finished = START + timedelta(seconds=2)
    board.update(SCAN, make_status(status=Status.FAILED, reason="[red]none[/] of 3", finished_at=finished))
    assert "scan failed 2.0 [red]none[/] of 3" in shown(board)
    assert board.failed()


def test_a_board_is_finished_when_all_its_scans_are():
    board = Board([ScanId("a"), ScanId("b")])
    board.update(ScanId("a"), make_status("a", Status.COMPLETED))
    board.update(ScanId("b"), None)
    assert board.open_scans() == ["b"]
    board.update(ScanId("b"), make_status("b", Status.FAILED))
    assert board.finished()


def test_a_scan_that_comes_again_is_looked_at_again():
    board = Board()
    board.add(ScanId("a"))
    board.update(ScanId("a"), make_status("a", Status.COMPLETED))
    board.add(ScanId("a"))
    assert board.open_scans() == ["a"]


def test_a_board_remembers_the_newest_scans_only():
    board = Board()
    for number in range(2 * REMEMBERED):
        board.add(ScanId(str(number)))
    assert len(board.scans()) == REMEMBERED
    assert board.scans()[-1][0] == str(2 * REMEMBERED - 1)
    board.update(ScanId("0"), make_status("0"))
    assert "0" not in dict(board.scans())


def test_events_tell_of_scans():
    announced = {"type": "task-sent", "kwargs": "{'scan_id': 'scan-1'}", "args": "()"}
    assert scans_of(announced) == ["scan-1"]
    assert scans_of({"type": "task-received", "args": "[{'scan_id': 'scan-2'}]", "kwargs": "{}"}) == [
        "scan-2"
    ]
    assert scans_of({"type": "task-progress", "stage": "fetch", "scan_id": "scan-3"}) == ["scan-3"]


def test_other_events_do_not():
    for event in (
        {"type": "worker-heartbeat"},
        {"type": "task-sent", "kwargs": "{}"},
        {"type": "task-sent", "kwargs": "{'scan_id': '../x'}"},
        {"type": "task-progress", "stage": "fetch", "scan_id": "../x"},
        {"type": "task-progress", "stage": "fetch"},
        {"type": "task-progress", "stage": "analyse", "scan_id": "scan"},
        {},
    ):
        assert scans_of(event) == []


def test_a_status_fits_on_a_line():
    assert describe(make_status(status=Status.COMPLETED, attempt=1)) == "scan: completed"
    assert describe(make_status(stage=Stage.FETCH)) == "scan: progress, fetch"
    failed = make_status(status=Status.FAILED, attempt=3, reason="no frames")
    assert describe(failed) == "scan: failed, attempt 3, no frames"


class AwayBroker:
    """A connection that cannot be opened."""

    recoverable_connection_errors = ()

    def __enter__(self) -> None:
        raise ConnectionRefusedError

    def __exit__(self, *_: object) -> None: ...


def test_it_is_told_that_the_broker_is_away():
    app: Any = SimpleNamespace(connection_for_read=AwayBroker)
    with Listener(app, Board(), enabled=True) as listener:
        wait_until(lambda: listener.away, "the listener notices")
    console = Console(width=120, record=True, file=StringIO())
    console.print(table(Board(), START, BROKER_AWAY))
    assert "the broker cannot be reached" in console.export_text()
