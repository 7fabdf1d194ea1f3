"""What happens to scans, for whoever listens: CloudEvents 1.0 on a Redis stream, or without Redis in a file.

The truth about a scan is its status.json; an event only says that it changed. So an event that cannot be told
is logged and forgotten, but for a scan's arrival and its end, which are told again
(`worker.scans.final_event`). An end that comes twice has one id.
"""

from __future__ import annotations

import fcntl
import functools
import json
import math
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Protocol

import redis

from worker.config.logs import get_logger, scrub
from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.keys import ScanId

log = get_logger(__name__)

SOURCE: Final = "/pose-worker"
FIELD: Final = "event"
MAX_EVENTS: Final = 100_000  # of the stream, about 60 MB
MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # of the file, and of the one before it
MAX_TEXT: Final = 1000
TIMEOUT_S: Final = 2.0
AWAY_S: Final = 10.0

Scalar = str | int | float | bool | None


class EventType(StrEnum):
    """What happened."""

    RECEIVED = "org.pose-worker.scan.received"
    STARTED = "org.pose-worker.scan.started"
    PROGRESS = "org.pose-worker.scan.progress"
    COMPLETED = "org.pose-worker.scan.completed"
    FAILED = "org.pose-worker.scan.failed"
    WITHHELD = "org.pose-worker.picture.withheld"


class Events(Protocol):
    """Where events go."""

    def emit(self, type: EventType, scan_id: ScanId, *, once: str | None = None, **data: Scalar) -> bool:
        """Tell of something that happened to a scan. Gives whether it is told.

        It blocks for about four seconds at most, and raises nothing because nobody could be told. The data
        are few, short and say nothing of a person. Equal `once` give equal ids, by which whoever listens
        knows an event that is told again.
        """
        ...


class StreamEvents:
    """Events on a Redis stream, one field `event` an entry, the oldest dropped when there are too many."""

    def __init__(self, client: redis.Redis, stream: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._stream = stream
        self._clock = clock
        self._away_until = clock()

    def emit(self, type: EventType, scan_id: ScanId, *, once: str | None = None, **data: Scalar) -> bool:
        """See Events."""
        # A Redis that does not answer would hold up each frame of a scan until its time is over.
        if type is EventType.PROGRESS and self._clock() < self._away_until:
            return False
        try:
            event = cloud_event(type, scan_id, data, once)
            self._client.xadd(self._stream, {FIELD: event}, maxlen=MAX_EVENTS, approximate=True)
            return True
        except (redis.RedisError, OSError, TypeError, ValueError) as error:
            self._away_until = self._clock() + AWAY_S
            return _not_told(type, error)


class FileEvents:
    """Events as lines of a file. When it is full it becomes `….1`, and the one that was that is dropped."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def emit(self, type: EventType, scan_id: ScanId, *, once: str | None = None, **data: Scalar) -> bool:
        """See Events."""
        try:
            self._append(cloud_event(type, scan_id, data, once).encode() + b"\n")
            return True
        except (OSError, TypeError, ValueError) as error:
            return _not_told(type, error)

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Several processes write; the lock is another file, as this one changes its name.
        with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._path.open("ab") as file:
                size = file.seek(0, os.SEEK_END)
                if size == 0 or size + len(line) <= self._max_bytes:
                    file.write(line)
                    return
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            self._path.write_bytes(line)


def open_events(settings: Settings) -> Events:
    """Where events of this process go, made once for each process."""
    return _open(settings, os.getpid())


@functools.lru_cache(maxsize=1)
def _open(settings: Settings, pid: int) -> Events:
    if settings.redis_url:
        return StreamEvents(open_redis(settings.redis_url, TIMEOUT_S), settings.events_stream)
    return FileEvents(settings.run_dir.absolute() / "events.jsonl")


def cloud_event(type: EventType, scan_id: ScanId, data: dict[str, Scalar], once: str | None = None) -> str:
    """A CloudEvent in JSON, in one line. Its id is made of `once`, or of chance.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

    Raises:
        InvalidRequest: the scan id is not one.
    """
    unique = uuid.uuid4() if once is None else uuid.uuid5(uuid.NAMESPACE_OID, f"{type} {scan_id} {once}")
    event = {
        "specversion": "1.0",
        "id": str(unique),
        "source": SOURCE,
        "type": type.value,
        "subject": scan_id,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {name: _plain(value) for name, value in data.items()},
    }
    return json.dumps(event, allow_nan=False)


def _plain(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return scrub(value)[:MAX_TEXT]
    # JSON knows neither of them: no figure.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _not_told(type: EventType, error: Exception) -> Literal[False]:
    # Not the error's text, which may hold an address.
    log.warning("event_not_told", type=type.value, error=error.__class__.__name__)
    return False
