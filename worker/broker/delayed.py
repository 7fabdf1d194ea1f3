"""Messages that are to come later: retries, and what a producer sends with Celery's `eta` or `countdown`.

Celery gives such a message to a worker at once. The worker keeps it in memory until its time has come, in
addition to its prefetch limit, and after the visibility timeout the message comes a second time. Here it
waits in Redis: in the sorted set `<list>:delayed` beside its list of the queue, with its time as the score.
Workers move messages whose time has come to the front of the list. Each script is one step of Redis, so a
message is in the list, in the sorted set or with a worker (`unacked`), whichever process ends at any moment.

All times are of the clock of Redis. A machine with a wrong clock delays nothing.

Retries go to the front because `RETRY_TOTAL_S` counts from the first failure. At the back of a queue of
hours, the second failure of a scan would be its last. Other messages have their turn too: retries have
growing delays, and the next `BATCH` is moved only after the one before it was taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC
from typing import Any, Final

from celery.utils.time import maybe_iso8601

HEADER: Final = "pose_delayed"  # of a message that has been in a sorted set
_MARK: Final = f'"{HEADER}": true'  # as it stands in the message
BATCH: Final = 100

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""
# ARGV: seconds, message.
_ADD: Final = f"""{_NOW}
return redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])
"""
# KEYS: messages that workers have, their index, the sorted set. ARGV: tag, time, message.
_GIVE_BACK: Final = f"""{_NOW}
if tonumber(ARGV[2]) <= now then return 0 end
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('ZADD', KEYS[3], ARGV[2], ARGV[3])
end
return 1
"""
# KEYS: a list, its sorted set, the next list, … ARGV: the mark, the largest number of messages. The right end
# of a list is its front.
_MOVE: Final = f"""{_NOW}
local moved = 0
for i = 1, #KEYS, 2 do
    local front = redis.call('LINDEX', KEYS[i], -1)
    if not (front and string.find(front, ARGV[1], 1, true)) then
        local due = redis.call('ZRANGEBYSCORE', KEYS[i + 1], '-inf', now, 'LIMIT', 0, ARGV[2])
        for j = #due, 1, -1 do
            redis.call('RPUSH', KEYS[i], due[j])
            redis.call('ZREM', KEYS[i + 1], due[j])
        end
        moved = moved + #due
    end
end
return moved
"""
# KEYS: sorted sets. Returns the number of messages, and of those whose time has come.
_COUNT: Final = f"""{_NOW}
local all, due = 0, 0
for i = 1, #KEYS do
    all = all + redis.call('ZCARD', KEYS[i])
    due = due + redis.call('ZCOUNT', KEYS[i], '-inf', now)
end
return {{all, due}}
"""


def delayed_set(queue_list: str) -> str:
    """Return the key of the sorted set beside a list of a queue.

    >>> delayed_set("celery")
    'celery:delayed'
    """
    return f"{queue_list}:delayed"


def eta_of(headers: object) -> float | None:
    """Return the time before which a message is not to be begun with, in seconds of the epoch, or None.

    >>> eta_of({"eta": "1970-01-01T00:01:00+00:00"})
    60.0
    >>> eta_of({"eta": None})
    """
    eta = headers.get("eta") if isinstance(headers, dict) else None
    if not isinstance(eta, str):
        return None
    try:
        moment = maybe_iso8601(eta)
        if moment is None:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None  # The worker that receives it puts it on the dead list.


def as_delayed(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as it waits in the sorted set. The score replaces its `eta`."""
    return {**message, "headers": {**message["headers"], "eta": None, HEADER: True}}


def add_delayed(client: Any, queue_list: str, eta: float, message: str) -> None:
    """Put a message into the sorted set.

    Args:
        client: A Redis client.
        queue_list: The list that it comes to later.
        eta: Seconds of the epoch, by the clock of this machine.
        message: As it is to stand in the list, made by `as_delayed`.

    Raises:
        redis.RedisError: Redis is away, or refuses it.
    """
    client.eval(_ADD, 1, delayed_set(queue_list), eta - time.time(), message)


def give_back(
    client: Any, unacked: tuple[str, str], tag: str, queue_list: str, eta: float, message: str
) -> bool:
    """Move a message that a worker has received to the sorted set, unless its time has come.

    Args:
        client: A Redis client.
        unacked: Keys of the messages that workers have, and of the index of these.
        tag: Of the message.
        queue_list: The list that it comes to later.
        eta: Seconds of the epoch.
        message: As it is to stand in the list, made by `as_delayed`.

    Returns:
        Whether its time has not come, so that this worker has it no longer.

    Raises:
        redis.RedisError: Redis is away, or refuses it. The worker still has the message.
    """
    return bool(client.eval(_GIVE_BACK, 3, *unacked, delayed_set(queue_list), tag, eta, message))


def move_due(client: Any, queue_lists: Iterable[str]) -> int:
    """Move the messages whose time has come to the front of their lists. Return their number.

    A list whose front was moved there before is left alone: so the message that was due first is taken first.

    Raises:
        redis.RedisError: Redis is away, or refuses it.
    """
    keys = [key for each in queue_lists for key in (each, delayed_set(each))]
    return int(client.eval(_MOVE, len(keys), *keys, _MARK, BATCH))


def list_delayed(client: Any, queue_lists: Iterable[str], limit: int) -> list[tuple[float, bytes]]:
    """Return the messages that come next, each with its time in seconds of the epoch.

    Raises:
        redis.RedisError: Redis is away.
    """
    found: list[tuple[float, bytes]] = []
    for each in queue_lists:
        waiting = client.zrange(delayed_set(each), 0, limit - 1, withscores=True)
        found += [(due, message) for message, due in waiting]
    return sorted(found)[:limit]


def count_delayed(client: Any, queue_lists: Iterable[str]) -> tuple[int, int]:
    """Return the number of messages in the sorted sets, and of those whose time has come.

    Raises:
        redis.RedisError: Redis is away.
    """
    keys = list(map(delayed_set, queue_lists))
    found, due = client.eval(_COUNT, len(keys), *keys)
    return int(found), int(due)
