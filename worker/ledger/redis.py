"""The ledger in Redis. See `worker.ledger.base.Ledger` for the contract."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import redis

from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import KEPT_S, Lease, LedgerUnavailable, LockName, new_token

OPEN: Final = "pose:open"

# Compare and do are one step: between two a lock could end and be another's. A lock that is renewed answers
# for its scan as well.
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], 'XX', ARGV[3], ARGV[4])
return 1
"""
_RELEASE: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_BEGIN: Final = """
local deaths = redis.call('HINCRBY', KEYS[1], 'deaths', 1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return deaths - 1
"""
# Never below zero, and nothing is made: the key may have been pardoned meanwhile.
_END: Final = """
if tonumber(redis.call('HGET', KEYS[1], 'deaths') or '0') > 0 then
    redis.call('HINCRBY', KEYS[1], 'deaths', -1)
end
"""


class RedisLedger:
    """Keys: `pose:lock:<scan_id>`, `pose:deaths:<scan_id>`, and the sorted set `pose:open`.

    Args:
        client: with `decode_responses`.
        ttl_s: how long a lock lives without being renewed.
    """

    def __init__(self, client: redis.Redis, ttl_s: float) -> None:
        self._client = client
        self._ttl_s = ttl_s

    def lock(self, scan_id: LockName) -> Lease | None:
        """See Ledger."""
        key, token, life_ms = _lock_key(scan_id), new_token(), int(self._ttl_s * 1000)
        asked_at = time.monotonic()
        with _errors():
            taken = self._client.set(key, token, nx=True, px=life_ms)
            # The answer to a first try may have been lost on the way; then the lock is ours all the same.
            if not taken and self._client.get(key) != token:
                return None

        def renew() -> bool:
            until = time.time() + self._ttl_s
            return bool(self._run(_RENEW, [key, OPEN], [token, life_ms, until, scan_id]))

        def release() -> None:
            self._run(_RELEASE, [key], [token])

        return Lease(scan_id, self._ttl_s, renew, release, asked_at)

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        """See Ledger."""
        self._run(_RELEASE, [_lock_key(scan_id)], [owner])

    def begin(self, scan_id: ScanId) -> int:
        """See Ledger."""
        return int(self._run(_BEGIN, [_deaths_key(scan_id)], [int(KEPT_S)]))

    def end(self, scan_id: ScanId) -> None:
        """See Ledger."""
        self._run(_END, [_deaths_key(scan_id)], [])

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        """See Ledger."""
        key = _deaths_key(scan_id)
        with _errors(), self._client.pipeline(transaction=True) as together:
            together.hset(key, "aside", reason)
            together.expire(key, int(KEPT_S))
            together.execute()

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        """See Ledger."""
        with _errors():
            return cast("str | None", self._client.hget(_deaths_key(scan_id), "aside"))

    def release_quarantine(self, scan_id: ScanId) -> None:
        """See Ledger."""
        with _errors():
            self._client.delete(_deaths_key(scan_id))

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        """See Ledger."""
        with _errors():
            self._client.zadd(OPEN, {scan_id: deadline})

    def close(self, scan_id: ScanId) -> None:
        """See Ledger."""
        with _errors():
            self._client.zrem(OPEN, scan_id)

    def is_open(self, scan_id: ScanId) -> bool:
        """See Ledger."""
        with _errors():
            return self._client.zscore(OPEN, scan_id) is not None

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        """See Ledger."""
        with _errors():
            found = self._client.zrangebyscore(OPEN, "-inf", now, start=0, num=limit)
            return list(scan_ids_in(cast("list[str]", found)))

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        with _errors():
            return self._client.eval(script, len(keys), *keys, *arguments)


def _lock_key(scan_id: LockName) -> str:
    return f"pose:lock:{scan_id}"


def _deaths_key(scan_id: ScanId) -> str:
    return f"pose:deaths:{scan_id}"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        # Not the error's own text, which holds an address and maybe more.
        raise LedgerUnavailable(
            f"Redis (REDIS_URL, or the broker's) cannot be used: {type(error).__name__}"
        ) from None
