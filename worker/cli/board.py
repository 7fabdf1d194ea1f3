"""What `python -m worker watch` shows: a row for each scan, from its events or from its status."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from worker.keys import ScanId
from worker.scans.event_reader import ScanEvent
from worker.scans.events import EventType
from worker.scans.status import ScanStatus, Stage, Status

SHOWN: Final = 40
REMEMBERED: Final = 100_000
_STYLES: Final = {
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "yellow",
    Status.QUEUED: "dim",
}
_STATUS_OF: Final = {
    EventType.RECEIVED: Status.QUEUED,
    EventType.STARTED: Status.STARTED,
    EventType.PROGRESS: Status.PROGRESS,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELLED: Status.CANCELLED,
}


@dataclass(frozen=True)
class Row:
    """What is known about a scan.

    Attributes:
        scan_id: Its id.
        status: Its status; None until it is known.
        since: When it was announced, or else when it was first heard of; None if unknown.
        finished_at: When it was finished; None if it is not.
        stage, frames_done, frames, attempt: As in `status.json`.
        verdict, posture: Of the result of a completed scan; empty if unknown.
        reason: Why it failed, or is tried again; empty otherwise.
    """

    scan_id: ScanId
    status: Status | None = None
    since: datetime | None = None
    finished_at: datetime | None = None
    stage: Stage | None = None
    frames_done: int = 0
    frames: int | None = None
    attempt: int = 0
    verdict: str = ""
    posture: str = ""
    reason: str = ""

    @property
    def final(self) -> bool:
        return self.status is not None and self.status.final

    def age_s(self, now: datetime) -> float | None:
        """Return the seconds from the announcement to the end, or until now."""
        if self.since is None:
            return None
        return max(((self.finished_at or now) - self.since).total_seconds(), 0.0)

    def after(self, event: ScanEvent) -> Row:
        """Return the row after an event about this scan."""
        status, data = _STATUS_OF.get(event.type), event.data
        if status is None:
            return self
        if status is Status.QUEUED:
            row = Row(self.scan_id, since=event.time)
        else:
            # How old a scan is of which only the end was told, nobody knows.
            row = replace(self, since=self.since or (None if status.final else event.time))
        return replace(
            row,
            status=status,
            finished_at=event.time if status.final else None,
            stage=data.stage,
            frames_done=data.frame or 0,
            frames=data.frames if status is Status.PROGRESS else None,
            attempt=data.attempt if data.attempt is not None else row.attempt,
            verdict=_printable(data.verdict),
            posture=_printable(data.posture),
            reason=_printable(data.reason),
        )


def row_of(status: ScanStatus, verdict: str = "") -> Row:
    """Return the row of a scan from its status."""
    return Row(
        status.scan_id,
        status.status,
        status.queued_at or status.started_at,
        status.finished_at,
        status.stage,
        status.frames_done,
        status.frames,
        status.attempt,
        verdict,
        "",
        _printable(status.reason),
    )


class Board:
    """The scans that are not finished, by their latest events."""

    def __init__(self) -> None:
        self._rows: OrderedDict[ScanId, Row] = OrderedDict()

    def apply(self, event: ScanEvent) -> Row | None:
        """Note an event. Return the scan's row if it changed, also that of a scan that is finished now."""
        known = self._rows.get(event.subject, Row(event.subject))
        if event.type is EventType.ERASED:
            self._rows.pop(event.subject, None)
            return None
        row = known.after(event)
        if row == known:
            return None
        if row.final:
            self._rows.pop(event.subject, None)
            return row
        self._rows[event.subject] = row
        if len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)
        return row

    def rows(self) -> list[Row]:
        """Return the rows: scans that are worked on come first, then those that wait longest."""
        return sorted(self._rows.values(), key=lambda row: row.status is Status.QUEUED)


def describe(row: Row) -> str:
    """Return a row as one line of text."""
    parts = [f"{row.scan_id}: {'unknown' if row.status is None else row.status.value}"]
    for text in (_doing(row), row.posture, row.verdict):
        if text:
            parts.append(text)
    if row.attempt > 1:
        parts.append(f"attempt {row.attempt}")
    if row.reason:
        parts.append(row.reason)
    return ", ".join(parts)


def line(row: Row, now: datetime) -> Text:
    """Return a row as one line of text with the time and the age."""
    age = row.age_s(now)
    text = describe(row) if age is None else f"{describe(row)}, {age:.1f} s"
    at = row.finished_at or now
    return Text(
        f"{at.astimezone():%H:%M:%S}  {text}", style=_STYLES.get(row.status, "") if row.status else ""
    )


def as_json(row: Row, now: datetime) -> dict[str, Any]:
    """Return a row as `watch --json` prints it."""
    age = row.age_s(now)
    return {
        "time": (row.finished_at or now).isoformat(),
        "scan_id": row.scan_id,
        "status": None if row.status is None else row.status.value,
        "stage": None if row.stage is None or row.status is not Status.PROGRESS else row.stage.value,
        "frames_done": row.frames_done,
        "frames": row.frames,
        "age_s": None if age is None else round(age, 1),
        "attempt": row.attempt,
        "outcome": row.status.value if row.status is not None and row.final else None,
        "verdict": row.verdict or None,
        "posture": row.posture or None,
        "reason": row.reason or None,
    }


def table(rows: list[Row], now: datetime, problem: str = "") -> Table:
    """Return a table of the first scans, and below it how many there are."""
    waiting = sum(row.status is Status.QUEUED for row in rows)
    working = sum(row.status in (Status.STARTED, Status.PROGRESS) for row in rows)
    caption = f"{working} worked on, {waiting} waiting"
    if problem:
        caption += f"; {problem}"
    shown = Table(expand=False, caption=caption, caption_justify="left")
    # Only a finished scan has a verdict or a reason, and a terminal is narrow.
    optional = [name for name in ("verdict", "reason") if any(getattr(row, name) for row in rows)]
    for title in ("scan", "status", "stage", "frames", "age s", "attempt", *optional):
        shown.add_column(title, justify="right" if title in ("frames", "age s", "attempt") else "left")
    for row in rows[:SHOWN]:
        age, works = row.age_s(now), row.status is Status.PROGRESS
        shown.add_row(
            row.scan_id,
            Text("unknown" if row.status is None else row.status.value, style=_style(row)),
            row.stage.value if works and row.stage else "",
            f"{row.frames_done}/{row.frames}" if works and row.frames else "",
            "" if age is None else f"{age:.1f}",
            str(row.attempt or ""),
            # Not as markup: a text may hold brackets.
            *(Text(getattr(row, name)) for name in optional),
        )
    return shown


def _style(row: Row) -> str:
    return "dim" if row.status is None else _STYLES.get(row.status, "")


def _doing(row: Row) -> str:
    if row.status is not Status.PROGRESS or row.stage is None:
        return ""
    if row.frames is None:
        return row.stage.value
    return f"{row.stage.value}, frame {row.frames_done} of {row.frames}"


def _printable(text: str | None) -> str:
    """Return a text without what would move the cursor or change the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text or "")
