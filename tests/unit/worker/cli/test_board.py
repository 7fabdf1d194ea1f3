from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console

from worker.cli import board as board_module
from worker.cli.board import Board, Row, as_json, describe, line, row_of, table
from worker.keys import ScanId
from worker.scans.event_reader import EventData, ScanEvent
from worker.scans.events import EventType
from worker.scans.status import ScanStatus, Stage, Status

SCAN = ScanId("scan")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def event(type: EventType, seconds: float = 0, scan_id: str = "scan", **data: Any) -> ScanEvent:
    return ScanEvent(
        id=f"{type}-{seconds}-{scan_id}",
        type=type,
        subject=ScanId(scan_id),
        time=START + timedelta(seconds=seconds),
        data=EventData(**data),
    )


def make_status(scan_id: str = "scan", status: Status = Status.PROGRESS, **fields: object) -> ScanStatus:
    return ScanStatus.model_validate(
        {"scan_id": scan_id, "status": status, "started_at": START, "updated_at": START, **fields}
    )


def shown(rows: list[Row], seconds: float = 3, problem: str = "") -> list[str]:
    console = Console(width=150, record=True, file=StringIO())
    console.print(table(rows, START + timedelta(seconds=seconds), problem))
    return [" ".join(line.replace("│", "").split()) for line in console.export_text().splitlines()]


def applied(*events: ScanEvent) -> tuple[Board, Row]:
    board, row = Board(), None
    for each in events:
        row = board.apply(each)
    assert row is not None
    return board, row


def test_a_row_says_what_is_done_to_a_scan():
    board, _ = applied(
        event(EventType.RECEIVED),
        event(EventType.STARTED, 1, attempt=2),
        event(EventType.PROGRESS, 2, stage="analyse", frame=3, frames=9),
    )
    assert "scan progress analyse 3/9 3.0 2" in shown(board.rows())


def test_a_finished_scan_leaves_the_board_with_its_outcome_and_age():
    board, row = applied(
        event(EventType.RECEIVED),
        event(EventType.STARTED, 1, attempt=1),
        event(EventType.COMPLETED, 7, verdict="good", posture="standing", attempt=1),
    )
    assert board.rows() == []
    assert describe(row) == "scan: completed, standing, good"
    assert line(row, START).plain.endswith("scan: completed, standing, good, 7.0 s")
    told = as_json(row, START)
    assert (told["outcome"], told["verdict"], told["age_s"]) == ("completed", "good", 7.0)
    assert told["time"] == (START + timedelta(seconds=7)).isoformat()


def test_the_age_of_a_scan_of_which_only_the_end_was_told_is_unknown():
    _, row = applied(event(EventType.FAILED, 5, reason="why", attempt=1))
    assert row.age_s(START) is None
    assert describe(row) == "scan: failed, why"


def test_a_scan_that_comes_again_begins_anew():
    board, row = applied(
        event(EventType.RECEIVED), event(EventType.STARTED, 1, attempt=4), event(EventType.RECEIVED, 60)
    )
    assert (row.status, row.attempt) == (Status.QUEUED, 0)
    assert row.age_s(START + timedelta(seconds=61)) == 1.0
    assert len(board.rows()) == 1


def test_an_erased_scan_is_no_longer_shown():
    board, _ = applied(event(EventType.RECEIVED))
    assert board.apply(event(EventType.ERASED, 1)) is None
    assert board.rows() == []


def test_an_event_that_changes_nothing_is_no_change():
    board, _ = applied(event(EventType.RECEIVED))
    assert board.apply(event(EventType.WITHHELD, 1)) is None
    assert board.apply(event(EventType.RECEIVED)) is None


def test_scans_that_are_worked_on_stand_above_those_that_wait():
    board, _ = applied(
        *(event(EventType.RECEIVED, number, f"s{number}") for number in range(50)),
        event(EventType.STARTED, 60, "s49", attempt=1),
    )
    assert board.rows()[0].scan_id == "s49"
    lines = shown(board.rows(), 100)
    assert "1 worked on, 49 waiting" in lines
    assert len([each for each in lines if each.startswith("s")]) == board_module.SHOWN


def test_a_board_remembers_a_limited_number_of_scans(monkeypatch):
    monkeypatch.setattr(board_module, "REMEMBERED", 10)
    board, _ = applied(*(event(EventType.RECEIVED, 0, f"s{number}") for number in range(20)))
    assert [row.scan_id for row in board.rows()] == [f"s{number}" for number in range(10, 20)]


def test_texts_are_shown_as_they_are_without_control_characters():
    _, row = applied(event(EventType.FAILED, 2, reason="[red]none[/] of 3\x1b[2J\n"))
    assert "scan failed [red]none[/] of 3?[2J?" in shown([row])
    assert "\x1b" not in line(row, START).plain


def test_a_table_has_verdicts_once_a_scan_has_one():
    _, row = applied(event(EventType.COMPLETED, 1, verdict="good", attempt=1))
    assert "scan completed 1 good" in shown([row])
    assert "verdict" not in " ".join(shown([Row(SCAN)]))
    assert "0 worked on, 0 waiting" in shown([row])


def test_a_problem_stands_below_the_table():
    assert "0 worked on, 0 waiting; Redis is away" in shown([], problem="Redis is away")


def test_a_status_fits_on_a_line():
    assert describe(row_of(make_status(status=Status.COMPLETED, attempt=1))) == "scan: completed"
    assert describe(row_of(make_status(stage=Stage.FETCH))) == "scan: progress, fetch"
    failed = make_status(status=Status.FAILED, attempt=3, reason="no frames")
    assert describe(row_of(failed)) == "scan: failed, attempt 3, no frames"
    assert describe(Row(SCAN)) == "scan: unknown"


def test_a_row_in_json_has_all_fields_always():
    waiting = as_json(Row(SCAN), START)
    assert set(waiting) == set(as_json(row_of(make_status(stage=Stage.FETCH)), START))
    assert (waiting["status"], waiting["age_s"], waiting["outcome"]) == (None, None, None)
