"""The ledger in Redis."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import redis
from redis.client import NEVER_DECODE

from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import CRASHES_KEPT_S, Lease, Ledger, LedgerUnavailable, LockName, new_token
from worker.ledger.clock import StoreClock

OPEN: Final = "pose:open"
_CRASHES: Final = "pose:deaths:"
CURSORS: Final = "pose:cursors"

# Each script compares and changes in one step: between two steps a lock could end, and another process could
# take it. A renewal also moves the deadline of the scan, if the scan is open.
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[2], 'XX', now + ARGV[2] / 1000, ARGV[3])
return 1
"""
_RELEASE: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_BEGIN: Final = """
local crashes = redis.call('HINCRBY', KEYS[1], 'deaths', 1) - 1
redis.call('EXPIRE', KEYS[1], ARGV[1])
return crashes
"""
# Not below zero, and without creating the key: `release_quarantine` may have deleted it meanwhile.
_END: Final = """
if tonumber(redis.call('HGET', KEYS[1], 'deaths') or '0') > 0 then
    redis.call('HINCRBY', KEYS[1], 'deaths', -1)
end
"""
# Only the deadlines that were read: a worker may have begun with the scan meanwhile.
_DEFER: Final = """
for i = 2, #ARGV, 2 do
    local deadline = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if deadline and tonumber(deadline) == tonumber(ARGV[i + 1]) then
        redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
    end
end
"""
BATCH: Final = 500  # scans of one script or command
_FAILURE: Final = "failure:"
_ADD_FAILURE: Final = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local fields, alike = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, #ARGV[4]) == ARGV[4] and fields[i + 1] == ARGV[2] then alike = alike + 1 end
end
return alike
"""


class RedisLedger(Ledger):
    """Keys: `pose:lock:<scan_id>`, the hash `pose:deaths:<scan_id>`, `pose:cancel:<scan_id>`, the sorted set
    `pose:open`, and for regular work `pose:began:<name>`, `pose:notes:<name>` and the hash `pose:cursors`.

    Fields of the hash: `deaths`, `aside` (why the scan is in quarantine), and `failure:<process>`.

    Args:
        client: made with `decode_responses=True`.
        ttl_s: lifetime of a lock without renewal.
    """

    def __init__(self, client: redis.Redis, ttl_s: float) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._clock = StoreClock(self._ask_time)

    def now(self) -> float:
        return self._clock.now()

    def _ask_time(self) -> float:
        with _errors():
            seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6

    def lock(self, scan_id: LockName) -> Lease | None:
        key, token, ttl_ms = _lock_key(scan_id), new_token(), int(self._ttl_s * 1000)
        asked_at = time.monotonic()
        with _errors():
            taken = self._client.set(key, token, nx=True, px=ttl_ms)
            # If the answer to a first try was lost and the client tried again, this process has the lock.
            if not taken and self._client.get(key) != token:
                return None

        def renew() -> bool:
            return bool(self._run(_RENEW, [key, OPEN], [token, ttl_ms, scan_id]))

        def release() -> None:
            self._run(_RELEASE, [key], [token])

        return Lease(scan_id, self._ttl_s, renew, release, asked_at)

    def is_locked(self, scan_id: LockName) -> bool:
        with _errors():
            return bool(self._client.exists(_lock_key(scan_id)))

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        self._run(_RELEASE, [_lock_key(scan_id)], [owner])

    def begin(self, scan_id: ScanId) -> int:
        return int(self._run(_BEGIN, [_crashes_key(scan_id)], [int(CRASHES_KEPT_S)]))

    def end(self, scan_id: ScanId) -> None:
        self._run(_END, [_crashes_key(scan_id)], [])

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        key = _crashes_key(scan_id)
        with _errors(), self._client.pipeline(transaction=True) as transaction:
            transaction.hset(key, "aside", reason)
            transaction.expire(key, int(CRASHES_KEPT_S))
            transaction.execute()

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        with _errors():
            return cast("str | None", self._client.hget(_crashes_key(scan_id), "aside"))

    def count_quarantined(self) -> int:
        found = 0
        with _errors():
            keys = set(self._client.scan_iter(match=f"{_CRASHES}*", count=BATCH))
            names = sorted(keys)  # SCAN may return a key twice
            for start in range(0, len(names), BATCH):
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in names[start : start + BATCH]:
                        pipeline.hexists(key, "aside")
                    found += sum(pipeline.execute())
        return found

    def release_quarantine(self, scan_id: ScanId) -> None:
        with _errors():
            self._client.delete(_crashes_key(scan_id))

    def add_failure(self, scan_id: ScanId, process: str, kind: str) -> int:
        arguments = [f"{_FAILURE}{process}", kind, int(CRASHES_KEPT_S), _FAILURE]
        return int(self._run(_ADD_FAILURE, [_crashes_key(scan_id)], arguments))

    def has_failed(self, scan_id: ScanId, process: str) -> bool:
        with _errors():
            return bool(self._client.hexists(_crashes_key(scan_id), f"{_FAILURE}{process}"))

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        with _errors():
            self._client.zadd(OPEN, {scan_id: deadline})

    def open_scans(self, scan_ids: Sequence[ScanId], deadline: float, *, release: bool = False) -> None:
        for start in range(0, len(scan_ids), BATCH):
            batch = scan_ids[start : start + BATCH]
            with _errors(), self._client.pipeline(transaction=True) as transaction:
                transaction.zadd(OPEN, dict.fromkeys(batch, deadline))
                transaction.delete(*map(_cancel_key, batch))
                if release:
                    transaction.delete(*map(_crashes_key, batch))
                transaction.execute()

    def close(self, scan_id: ScanId) -> None:
        with _errors():
            self._client.zrem(OPEN, scan_id)

    def ask_cancel(self, scan_id: ScanId) -> None:
        with _errors():
            self._client.set(_cancel_key(scan_id), 1, ex=int(CRASHES_KEPT_S))

    def is_cancel_asked(self, scan_id: ScanId) -> bool:
        with _errors():
            return bool(self._client.exists(_cancel_key(scan_id)))

    def forget_cancel(self, scan_id: ScanId) -> None:
        with _errors():
            self._client.delete(_cancel_key(scan_id))

    def forget(self, scan_id: ScanId) -> int:
        with _errors(), self._client.pipeline(transaction=True) as transaction:
            transaction.delete(_crashes_key(scan_id), _cancel_key(scan_id))
            transaction.zrem(OPEN, scan_id)
            removed = sum(transaction.execute())
            for name, cursor in cast("dict[str, str]", self._client.hgetall(CURSORS)).items():
                if cursor == scan_id:
                    self._client.hset(CURSORS, name, "")
                    removed += 1
        return removed

    def begins(self, name: str, every_s: float) -> bool:
        with _errors():
            return bool(self._client.set(f"pose:began:{name}", 1, nx=True, px=int(every_s * 1000)))

    def cursor(self, name: str) -> str | None:
        with _errors():
            return cast("str | None", self._client.hget(CURSORS, name))

    def set_cursor(self, name: str, cursor: str | None) -> None:
        with _errors():
            if cursor is None:
                self._client.hdel(CURSORS, name)
            else:
                self._client.hset(CURSORS, name, cursor)

    def rest(self, name: str, seconds: float) -> None:
        with _errors():
            self._client.set(f"pose:began:{name}", 1, px=max(1, int(seconds * 1000)))

    def notes(self, name: str) -> bytes | None:
        with _errors():
            # The client decodes answers, and notes are no text.
            found = self._client.execute_command("GET", f"pose:notes:{name}", **{NEVER_DECODE: True})
            return cast("bytes | None", found)

    def set_notes(self, name: str, notes: bytes) -> None:
        with _errors():
            self._client.set(f"pose:notes:{name}", notes)

    def is_open(self, scan_id: ScanId) -> bool:
        with _errors():
            return self._client.zscore(OPEN, scan_id) is not None

    def open_among(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        if not scan_ids:
            return set()
        with _errors():
            scores = self._client.zmscore(OPEN, list(scan_ids))
        return {scan_id for scan_id, score in zip(scan_ids, scores, strict=True) if score is not None}

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        with _errors():
            found = self._client.zrangebyscore(OPEN, "-inf", now, start=0, num=limit)
            return list(scan_ids_in(cast("list[str]", found)))

    def deadlines(self, before: float, limit: int, after: float = -math.inf) -> dict[ScanId, float]:
        with _errors():
            found = self._client.zrangebyscore(OPEN, after, before, start=0, num=limit, withscores=True)
        known = dict(cast("list[tuple[str, float]]", found))
        return {scan_id: known[scan_id] for scan_id in scan_ids_in(known)}

    def defer(self, deadlines: Mapping[ScanId, float], deadline: float) -> None:
        pairs = list(deadlines.items())
        for start in range(0, len(pairs), BATCH):
            arguments = [each for pair in pairs[start : start + BATCH] for each in pair]
            self._run(_DEFER, [OPEN], [deadline, *arguments])

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        with _errors():
            return self._client.eval(script, len(keys), *keys, *arguments)


def _lock_key(scan_id: LockName) -> str:
    return f"pose:lock:{scan_id}"


def _cancel_key(scan_id: ScanId) -> str:
    return f"pose:cancel:{scan_id}"


def _crashes_key(scan_id: ScanId) -> str:
    return f"{_CRASHES}{scan_id}"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        # Leave out the error's own text: it contains the address and maybe more.
        raise LedgerUnavailable(
            f"Redis (REDIS_URL, or the broker's) cannot be used: {type(error).__name__}"
        ) from None
