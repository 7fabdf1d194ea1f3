"""Dead letters: entries that could not be read, kept on the list `<list>:dead` for a person. Newest first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import redis

MAX_ENTRIES: Final = 1000
MAX_ENTRY_CHARS: Final = 16 * 1024


def dead_list(source: str) -> str:
    """Return the key of the dead list of a list.

    >>> dead_list("celery")
    'celery:dead'
    """
    return f"{source}:dead"


def dead_letter(reason: str, entry: bytes | str) -> str:
    """Return JSON with the reason, the time and the entry. Of a long entry, only the start is kept."""
    start = entry[:MAX_ENTRY_CHARS]
    text = start if isinstance(start, str) else start.decode(errors="backslashreplace")
    about = {"reason": reason, "at": datetime.now(UTC).isoformat(), "entry": text[:MAX_ENTRY_CHARS]}
    return json.dumps(about)


def add_dead_letter(client: Any, source: str, reason: str, entry: bytes | str) -> None:
    """Put an entry on the dead list of its list, which keeps the newest `MAX_ENTRIES`.

    Args:
        client: a Redis client. If it is a pipeline, the commands are added to it and not executed.
        source: the list that the entry was on.

    Raises:
        redis.RedisError: Redis is away, or refuses the entry.
    """
    pipeline = client if isinstance(client, redis.client.Pipeline) else client.pipeline()
    pipeline.lpush(dead_list(source), dead_letter(reason, entry))
    pipeline.ltrim(dead_list(source), 0, MAX_ENTRIES - 1)
    if pipeline is not client:
        pipeline.execute()
