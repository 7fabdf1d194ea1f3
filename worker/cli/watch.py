"""The table of scans that `python -m worker watch` shows.

Celery's events say which scans there are. Their status comes from storage.
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from celery import Celery
from kombu import Connection, Consumer
from rich.table import Table
from rich.text import Text

from worker.keys import SCAN_ID, ScanId, scan_ids_in
from worker.scans.status import ScanStatus, Status

SHOWN: Final = 40
REMEMBERED: Final = 10 * SHOWN
BROKER_AWAY: Final = (
    "the broker cannot be reached (CELERY_BROKER_URL), so new scans are not seen; trying again"
)
_SENT: Final = re.compile(rf"'scan_id': '({SCAN_ID.pattern})'")
_STYLES: Final = {
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "yellow",
    Status.QUEUED: "dim",
}


class Board:
    """Scans and their last known status. Several threads may use it."""

    def __init__(self, scan_ids: Iterable[ScanId] = ()) -> None:
        self._lock = threading.Lock()
        self._scans: dict[ScanId, ScanStatus | None] = dict.fromkeys(scan_ids)

    def add(self, scan_id: ScanId) -> None:
        """Show a scan from now on. Read its status again even if it was finished."""
        with self._lock:
            self._scans.pop(scan_id, None)
            self._scans[scan_id] = None
            for oldest in list(self._scans)[:-REMEMBERED]:
                del self._scans[oldest]

    def update(self, scan_id: ScanId, status: ScanStatus | None) -> None:
        with self._lock:
            if scan_id in self._scans and status is not None:
                self._scans[scan_id] = status

    def open_scans(self) -> list[ScanId]:
        """Return the scans that are not finished."""
        return [scan_id for scan_id, status in self.scans() if status is None or not status.status.final]

    def scans(self) -> list[tuple[ScanId, ScanStatus | None]]:
        with self._lock:
            return list(self._scans.items())

    def finished(self) -> bool:
        return not self.open_scans()

    def failed(self) -> bool:
        return any(
            status is not None and status.status in (Status.FAILED, Status.CANCELLED)
            for _, status in self.scans()
        )


class Listener:
    """Adds the scans in Celery's events to a board, in a thread of its own.

    Attributes:
        away: The broker could not be reached the last time.
    """

    def __init__(self, app: Celery, board: Board, enabled: bool) -> None:
        self._app = app
        self.away = False
        self._board = board
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True) if enabled else None

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            # Long enough to delete its queue. Do not wait longer for a broker that is away.
            self._thread.join(timeout=3)

    def _listen(self) -> None:
        app = self._app
        while not self._stop.is_set():
            try:
                with app.connection_for_read() as connection, connection.channel() as channel:
                    receiver = app.events.Receiver(channel, handlers={"*": self._on_event})
                    (consumer,) = receiver.get_consumers(functools.partial(Consumer, channel), channel)
                    with consumer:
                        self.away = False
                        self._receive(connection)
                    # The broker in files would keep this queue for ever.
                    channel.queue_delete(receiver.queue.name)
            except connection_errors(app):
                self.away = True
                self._stop.wait(2)

    def _receive(self, connection: Connection) -> None:
        while not self._stop.is_set():
            # TimeoutError means that no event came. Other OSErrors mean that the broker is away.
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.5)

    def _on_event(self, event: dict[str, Any]) -> None:
        for scan_id in scans_of(event):
            self._board.add(scan_id)


def connection_errors(app: Celery) -> tuple[type[Exception], ...]:
    """Return the exceptions that mean that the broker is away."""
    return (OSError, *app.connection_for_read().recoverable_connection_errors)


def scans_of(event: dict[str, Any]) -> list[ScanId]:
    """Return the scan that an event of Celery announces or starts, in a list; an empty list for other events.

    >>> scans_of({"type": "task-progress", "stage": "fetch", "scan_id": "scan-1"})
    ['scan-1']
    """
    match event:
        case {"type": "task-sent" | "task-received"}:
            # Celery sends the arguments as Python shows them.
            sent = _SENT.findall(f"{event.get('args')} {event.get('kwargs')}")
            return list(scan_ids_in(sent[:1]))
        case {"type": "task-progress", "stage": "fetch", "scan_id": str(scan_id)}:
            return list(scan_ids_in([scan_id]))
    return []


def describe(status: ScanStatus) -> str:
    """Return a status as one line of text."""
    parts = [f"{status.scan_id}: {status.status.value}"]
    if doing := _doing(status):
        parts.append(doing)
    if status.attempt > 1:
        parts.append(f"attempt {status.attempt}")
    if status.reason:
        parts.append(status.reason)
    return ", ".join(parts)


def table(board: Board, time: datetime, caption: str | None = None) -> Table:
    """Return a table of the newest scans, one in each row."""
    shown = Table(expand=False, caption=caption, caption_justify="left")
    for title in ("scan", "status", "doing", "seconds", "attempt", "reason"):
        shown.add_column(title, justify="right" if title in ("seconds", "attempt") else "left")
    for scan_id, status in board.scans()[-SHOWN:]:
        if status is None:
            shown.add_row(scan_id, Text("waiting", style="dim"))
            continue
        shown.add_row(
            scan_id,
            Text(status.status.value, style=_STYLES.get(status.status, "")),
            _doing(status),
            _seconds(status, time),
            str(status.attempt or ""),
            # Not as markup: a reason may hold brackets.
            Text(status.reason or ""),
        )
    return shown


def _doing(status: ScanStatus) -> str:
    if status.status is not Status.PROGRESS or status.stage is None:
        return ""
    if status.frames is None:
        return status.stage.value
    return f"{status.stage.value}, frame {status.frames_done} of {status.frames}"


def _seconds(status: ScanStatus, time: datetime) -> str:
    start = status.started_at or status.queued_at
    return f"{((status.finished_at or time) - start).total_seconds():.1f}" if start else ""
