"""Read the events about scans: first the latest ones, then those that come."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, cast

import redis
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.keys import ScanId, parse_scan_id
from worker.scans.events import FIELD, TIMEOUT_S, EventType, events_file
from worker.scans.status import Stage

HISTORY: Final = 10_000  # events that are read at the start
BATCH: Final = 1000
MAX_EVENT_BYTES: Final = 64 * 1024

# What a consumer must expect while Redis or the disk is away.
UNREADABLE: Final = (redis.RedisError, OSError)


class EventData(BaseModel):
    """What events say about a scan. A field that an event does not have is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    attempt: int | None = None
    stage: Stage | None = None
    frame: int | None = None
    frames: int | None = None
    posture: str | None = None
    verdict: str | None = None
    reason: str | None = None


class ScanEvent(BaseModel):
    """An event about a scan."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(max_length=200)]
    type: EventType
    subject: Annotated[ScanId, AfterValidator(parse_scan_id)]
    time: AwareDatetime
    data: EventData = EventData()


def parse_event(text: bytes) -> ScanEvent | None:
    """Return an event, or None if it cannot be read: others write to the stream too.

    >>> parse_event(b'{"type": "other"}') is None
    True
    """
    if len(text) > MAX_EVENT_BYTES:
        return None
    try:
        return ScanEvent.model_validate_json(text)
    except ValidationError:
        return None


class EventReader(ABC):
    """Reads events in their order, each once. A subclass defines where from."""

    def __init__(self) -> None:
        self._seen: deque[str] = deque(maxlen=2 * HISTORY)
        self._ids: set[str] = set()

    def read(self, wait_s: float) -> list[ScanEvent]:
        """Return the events since the last call; at the first call, the latest `HISTORY` ones.

        If there are none, wait for one, for at most `wait_s` seconds.

        Raises:
            redis.RedisError: Redis cannot be used. The next call reads on.
            OSError: The file cannot be used. The next call reads on.
        """
        parsed = (parse_event(text) for text in self._read(wait_s))
        return [event for event in parsed if event is not None and self._is_new(event)]

    def _is_new(self, event: ScanEvent) -> bool:
        """Return whether an event comes for the first time: some are sent twice, with one id."""
        if event.id in self._ids:
            return False
        if len(self._seen) == self._seen.maxlen:
            self._ids.discard(self._seen[0])
        self._seen.append(event.id)
        self._ids.add(event.id)
        return True

    @abstractmethod
    def _read(self, wait_s: float) -> list[bytes]: ...


class StreamReader(EventReader):
    """Reads the Redis stream of events."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        super().__init__()
        self._client = client
        self._stream = stream
        self._last: bytes | None = None

    def _read(self, wait_s: float) -> list[bytes]:
        if self._last is None:
            entries = cast("list[Any]", self._client.xrevrange(self._stream, count=HISTORY))[::-1]
            self._last = b"0"
        else:
            answer = cast(
                "Any",
                self._client.xread({self._stream: self._last}, count=BATCH, block=max(int(1000 * wait_s), 1)),
            )
            # A list, or a mapping with protocol 3.
            pairs = list(answer.items() if isinstance(answer, dict) else answer or [])
            entries = [entry for _, found in pairs for entry in found]
        if entries:
            self._last = entries[-1][0]
        return [fields[FIELD.encode()] for _, fields in entries if fields and FIELD.encode() in fields]


class FileReader(EventReader):
    """Reads the file of events. It follows when a full file is renamed to `….1`."""

    def __init__(self, path: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__()
        self._path = path
        self._full = path.with_name(f"{path.name}.1")
        self._sleep = sleep
        self._inode: int | None = None
        self._at = 0  # bytes of the file that were read

    def _read(self, wait_s: float) -> list[bytes]:
        lines = list(self._new_lines())
        if not lines:
            self._sleep(wait_s)
            lines = list(self._new_lines())
        return lines

    def _new_lines(self) -> Iterator[bytes]:
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            return
        if inode == self._inode:
            yield from self._rest_of(self._path)
            return
        # Renamed as it was full, or written anew without an erased scan. What was read before is known by id.
        latest: deque[bytes] = deque(maxlen=HISTORY)
        for path in (self._full, self._path):
            self._at = 0
            latest.extend(self._rest_of(path))
        self._inode = inode
        yield from latest

    def _rest_of(self, path: Path) -> list[bytes]:
        """Return the whole lines from where the last call ended."""
        try:
            with path.open("rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return []
        end = text.rfind(b"\n") + 1
        self._at += end
        return text[:end].splitlines()


def open_event_reader(settings: Settings) -> EventReader:
    """Return what reads the events that `worker.scans.events` sends with these settings."""
    if settings.redis_url:
        client = open_redis(settings.redis_url, TIMEOUT_S, master_name=settings.redis_master_name)
        return StreamReader(client, settings.events_stream)
    return FileReader(events_file(settings))
