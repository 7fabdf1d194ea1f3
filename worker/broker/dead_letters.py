"""Lists of what could not be read: `<list>:dead`, for a person to look at. Bounded, the newest first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import redis

MAX_ENTRIES: Final = 1000
MAX_ENTRY_CHARS: Final = 16 * 1024


def dead_list(source: str) -> str:
    """The dead list of a list."""
    return f"{source}:dead"


def dead_letter(reason: str, entry: bytes | str) -> str:
    """JSON with the reason, the time, and the entry, of which only the start is kept if it is long."""
    start = entry[:MAX_ENTRY_CHARS]
    text = start if isinstance(start, str) else start.decode(errors="backslashreplace")
    about = {"reason": reason, "at": datetime.now(UTC).isoformat(), "entry": text[:MAX_ENTRY_CHARS]}
    return json.dumps(about)


def add_dead_letter(client: Any, source: str, reason: str, entry: bytes | str) -> None:
    """Put an entry on its dead list. Given a pipeline, it becomes part of that.

    Raises:
        redis.RedisError: Redis is away or refuses it.
    """
    pipeline = client if isinstance(client, redis.client.Pipeline) else client.pipeline()
    pipeline.lpush(dead_list(source), dead_letter(reason, entry))
    pipeline.ltrim(dead_list(source), 0, MAX_ENTRIES - 1)
    if pipeline is not client:
        pipeline.execute()
