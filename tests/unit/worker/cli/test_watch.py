from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console
from rich.live import Live

from tests.unit.worker.cli.test_board import START, event
from worker.cli.board import Row
from worker.cli.watch import AWAY, JsonLines, LiveTable, TextLines, follow_events
from worker.keys import ScanId
from worker.scans.event_reader import EventReader, ScanEvent
from worker.scans.events import EventType
from worker.scans.status import Status


class Ended(Exception):
    """Raised where a user would press Ctrl-C."""


class GivenEvents(EventReader):
    """A reader of given batches of events. An OSError is raised in place of a batch."""

    def __init__(self, *batches: list[ScanEvent] | OSError) -> None:
        super().__init__()
        self._batches = list(batches)

    def read(self, wait_s: float) -> list[ScanEvent]:
        if not self._batches:
            raise Ended
        batch = self._batches.pop(0)
        if isinstance(batch, OSError):
            raise batch
        return batch

    def _read(self, wait_s: float) -> list[bytes]:
        raise NotImplementedError


class Noting:
    """A display that notes what it is told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str | None]] = []
        self.problems: list[str] = []

    def changed(self, row: Row) -> None:
        self.changes.append((row.scan_id, None if row.status is None else row.status.value))

    def refresh(self, rows: list[Row], problem: str) -> None:
        self.problems.append(problem)


@pytest.fixture
def follow(monkeypatch) -> Callable[..., Noting]:
    monkeypatch.setattr("worker.cli.watch.RETRY_S", 0.0)

    def follow(*batches: list[ScanEvent] | OSError, history: int = 20) -> Noting:
        display = Noting()
        with pytest.raises(Ended):
            follow_events(GivenEvents(*batches), display, lambda: None, history)
        return display

    return follow


def ended(number: int, scan_id: str | None = None) -> ScanEvent:
    return event(EventType.COMPLETED, number, scan_id or f"s{number}", verdict="good")


def test_it_begins_with_the_latest_finished_scans_and_those_that_are_not(follow):
    events = [*(ended(number) for number in range(5)), event(EventType.RECEIVED, 9, "new")]
    assert follow(events, history=2).changes == [("s3", "completed"), ("s4", "completed"), ("new", "queued")]
    assert follow(events, history=0).changes == [("new", "queued")]


def test_a_scan_that_ended_twice_stands_in_the_history_once(follow):
    events = [ended(1, "a"), ended(2, "b"), event(EventType.RECEIVED, 3, "a"), ended(4, "a")]
    assert follow(events).changes == [("b", "completed"), ("a", "completed")]


def test_then_it_shows_each_change(follow):
    display = follow([], [event(EventType.RECEIVED)], [event(EventType.STARTED, 1), ended(2, "scan")])
    assert display.changes == [("scan", "queued"), ("scan", "started"), ("scan", "completed")]


def test_it_says_that_events_cannot_be_read_and_goes_on(follow):
    display = follow(ConnectionRefusedError(), [ended(1)], OSError(), [ended(2)])
    assert display.problems == [AWAY, "", AWAY, ""]
    assert display.changes == [("s1", "completed"), ("s2", "completed")]


def test_json_is_a_line_for_each_change(capsys):
    display = JsonLines()
    display.changed(Row(ScanId("scan"), Status.FAILED, START, START, reason="no\nframes"))
    display.refresh([], "")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["outcome"] == "failed"


def text_of(act: Callable[[Console], None], terminal: bool = False) -> str:
    console = Console(width=150, file=StringIO(), force_terminal=terminal)
    act(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_lines_tell_each_status_once():
    def act(console: Console) -> None:
        lines = TextLines(console)
        for frame in range(3):
            lines.changed(Row(ScanId("scan"), Status.PROGRESS, START, frames_done=frame))
        lines.changed(Row(ScanId("scan"), Status.COMPLETED, START, START, verdict="good"))
        for problem in ("away", "away", ""):
            lines.refresh([], problem)

    text = text_of(act)
    assert (text.count("progress"), text.count("completed, good, 0.0 s"), text.count("away")) == (1, 1, 1)


def test_finished_scans_scroll_away_above_the_table():
    def act(console: Console) -> None:
        with Live(console=console, auto_refresh=False) as live:
            shown = LiveTable(live)
            shown.refresh([Row(ScanId("other"), Status.QUEUED, START)], "")
            shown.changed(Row(ScanId("scan"), Status.COMPLETED, START, START))
            shown.refresh([Row(ScanId("other"), Status.QUEUED, START)], "")

    text = text_of(act, terminal=True)
    assert text.count("scan: completed") == 1
    assert text.rindex("other") > text.index("scan: completed")
