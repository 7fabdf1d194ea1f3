"""Events about scans: CloudEvents 1.0 on a Redis stream, or in a file where there is no Redis.

The truth about a scan is its status.json; an event only says that it changed. An event that cannot be sent is
logged and dropped. Only the events of a scan's arrival and of its end are sent again; the end keeps its id
(`worker.scans.final_event`).
"""

from __future__ import annotations

import fcntl
import functools
import json
import math
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import redis

from worker.config.logs import get_logger, scrub
from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.keys import ScanId

log = get_logger(__name__)

SOURCE: Final = "/pose-worker"
FIELD: Final = "event"
MAX_EVENTS: Final = 100_000  # in the stream, about 60 MB
MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # of the file, and of the full one before it
MAX_TEXT: Final = 1000
CHUNK: Final = 1000
TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 10.0

Scalar = str | int | float | bool | None


class EventType(StrEnum):
    """What happened."""

    RECEIVED = "org.pose-worker.scan.received"
    STARTED = "org.pose-worker.scan.started"
    PROGRESS = "org.pose-worker.scan.progress"
    COMPLETED = "org.pose-worker.scan.completed"
    FAILED = "org.pose-worker.scan.failed"
    CANCELLED = "org.pose-worker.scan.cancelled"
    ERASED = "org.pose-worker.scan.erased"
    WITHHELD = "org.pose-worker.picture.withheld"


class Events(ABC):
    """Sends events. A subclass defines where to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused_until = clock()

    def emit(
        self, type: EventType, scan_id: ScanId, *, idempotency_key: str | None = None, **data: Scalar
    ) -> bool:
        """Send an event about a scan, and return whether it was sent. An event that cannot be sent is logged.

        The call blocks for about four seconds at most.

        Args:
            type: What happened.
            scan_id: The scan.
            idempotency_key: Equal keys give equal event ids, so a consumer recognises an event sent twice.
            data: Few short values that say nothing about a person.
        """
        # Do not wait for a dead Redis at each frame: the scan would run into its time limit.
        if type is EventType.PROGRESS and self._clock() < self._paused_until:
            return False
        try:
            self._send(cloud_event(type, scan_id, data, idempotency_key))
        except (redis.RedisError, OSError, TypeError, ValueError) as error:
            self._paused_until = self._clock() + PAUSE_S
            # Do not log the text of the error, which may hold an address.
            log.warning("event_not_told", type=type.value, error=error.__class__.__name__)
            return False
        return True

    @abstractmethod
    def forget(self, scan_ids: frozenset[ScanId]) -> Counter[str]:
        """Remove the events about scans, and return how many there were of each.

        Raises:
            redis.RedisError: Redis cannot be used.
            OSError: The file cannot be used.
        """

    @abstractmethod
    def _send(self, event: str) -> None: ...


class StreamEvents(Events):
    """Events on a Redis stream, in the field `event` of each entry. The oldest entries are dropped."""

    def __init__(self, client: redis.Redis, stream: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._client = client
        self._stream = stream

    def _send(self, event: str) -> None:
        self._client.xadd(self._stream, {FIELD: event}, maxlen=MAX_EVENTS, approximate=True)

    def forget(self, scan_ids: frozenset[ScanId]) -> Counter[str]:
        """See `Events.forget`."""
        removed: Counter[str] = Counter()
        first = "-"
        while entries := cast("list[Any]", self._client.xrange(self._stream, first, count=CHUNK)):
            for entry, fields in entries:
                subject = _subject(fields.get(FIELD.encode()))
                if subject in scan_ids and self._client.xdel(self._stream, entry):
                    removed[subject] += 1
            first = f"({entries[-1][0].decode()}"
        return removed


class FileEvents(Events):
    """Events as lines of a file. A full file is renamed to `….1`, in place of the one before it."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes

    def _send(self, event: str) -> None:
        line = event.encode() + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            with self._path.open("ab") as file:
                size = file.seek(0, os.SEEK_END)
                if size == 0 or size + len(line) <= self._max_bytes:
                    file.write(line)
                    return
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            self._path.write_bytes(line)

    def forget(self, scan_ids: frozenset[ScanId]) -> Counter[str]:
        """See `Events.forget`."""
        removed: Counter[str] = Counter()
        if not self._path.parent.is_dir():
            return removed
        with self._locked():
            for path in (self._path, self._path.with_name(f"{self._path.name}.1")):
                lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
                named = [_subject(line) for line in lines]
                found = Counter(subject for subject in named if subject in scan_ids)
                if found:
                    draft = path.with_name(f".{path.name}.draft")
                    kept = [line for line, subject in zip(lines, named, strict=True) if subject not in found]
                    draft.write_bytes(b"".join(kept))
                    os.replace(draft, path)
                    removed += found
        return removed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Several processes write. They lock a second file, because this one is renamed.
        with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def open_events(settings: Settings) -> Events:
    """Return the events of this process, made once for each process."""
    return _open(settings, os.getpid())


@functools.lru_cache(maxsize=1)
def _open(settings: Settings, pid: int) -> Events:
    if settings.redis_url:
        client = open_redis(settings.redis_url, TIMEOUT_S, master_name=settings.redis_master_name)
        return StreamEvents(client, settings.events_stream)
    return FileEvents(events_file(settings))


def events_file(settings: Settings) -> Path:
    """Return the file of events, where there is no Redis."""
    return settings.run_dir.absolute() / "events.jsonl"


def event_id(type: EventType, scan_id: ScanId, idempotency_key: str) -> str:
    """Return the id of an event that may be sent several times."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{type} {scan_id} {idempotency_key}"))


def cloud_event(
    type: EventType, scan_id: ScanId, data: dict[str, Scalar], idempotency_key: str | None = None
) -> str:
    """Return a CloudEvent as one line of JSON. Its id is made from the key, or is random without one.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

    Raises:
        TypeError: A value is none of the types that JSON has.
    """
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()) if idempotency_key is None else event_id(type, scan_id, idempotency_key),
        "source": SOURCE,
        "type": type.value,
        "subject": scan_id,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {name: _plain(value) for name, value in data.items()},
    }
    return json.dumps(event, allow_nan=False)


def _subject(event: bytes | None) -> str:
    """Return the scan that an event is about, or an empty text if it cannot be read."""
    try:
        subject = json.loads(event or b"null").get("subject")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return subject if isinstance(subject, str) else ""


def _plain(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return scrub(value)[:MAX_TEXT]
    # JSON has no NaN and no infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
