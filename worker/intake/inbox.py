"""Takes arrivals off their Redis list, in a thread of the worker, and has each scan announced.

Nothing is taken off before it is done: an entry is moved to `<list>:work` and leaves that when its scans are
in the queue. One whose worker died is moved back by any worker that saw it there twice, a minute apart. An
entry may be done twice by this, which costs a message that finds nothing to do.

A stored object does not mean that its scan is complete. So a scan that S3 told of waits in the sorted set
`<list>:settling` until no object of it came for some seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, cast

import redis
from celery import bootsteps
from celery.worker.components import Pool
from kombu.exceptions import OperationalError

from worker.broker.dead_letters import add_dead_letter
from worker.config.logs import get_logger
from worker.config.redis_client import open_redis
from worker.config.settings import Settings, load_settings
from worker.intake.announce import announce
from worker.intake.inbox_entry import InboxEntry, parse_entry
from worker.keys import InvalidRequest, ScanId, parse_scan_id
from worker.ledger.base import LedgerError
from worker.queue import sender
from worker.storage.base import StorageError
from worker.storage.opening import open_storage

log = get_logger(__name__)

LOOK_EVERY_S: Final = 60.0
CLAIM_S: Final = 60.0
AT_ONCE: Final = 100
AWAY: Final = 3  # so many that cannot be announced are a storage, or a broker, that is away
LONGEST_PAUSE_S: Final = 30.0
STOP_S: Final = 3.0
# What passes by itself: the entry is kept, and done later.
PASSING: Final = (redis.RedisError, OSError, StorageError, LedgerError, OperationalError)

# Take scans that are due for a while; who dies meanwhile leaves them to the next.
_CLAIM: Final = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, scan in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], scan) end
return due
"""
# Not where an object came meanwhile, which gave it another time.
_SETTLED: Final = """
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') == tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], ARGV[1])
end
"""


class Inbox:
    """The list of arrivals in Redis.

    Args:
        client: waits for at least some seconds.
        settings: with `arrivals_list`.
        announce: given a scan's id. It may raise what passes (see PASSING); anything else is a bad entry.
        clock: seconds of the epoch, about the same on all workers.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        announce: Callable[[ScanId], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        assert settings.arrivals_list is not None
        self._list = settings.arrivals_list
        self._work = f"{self._list}:work"
        self._settling = f"{self._list}:settling"
        self._client = client
        self._settings = settings
        self._announce = announce
        self._clock = clock
        self._seen: set[bytes] = set()

    def take(self, wait_s: int) -> bool:
        """Do the next entry, or wait for one. Gives whether there was one.

        Args:
            wait_s: 1 or more; 0 would be without end.

        Raises:
            PASSING: the entry is back on the list, unless it is Redis that is away.
        """
        # From the right: producers put entries in with LPUSH, as Celery's do.
        entry = self._client.blmove(self._list, self._work, wait_s, "RIGHT", "LEFT")
        if entry is None:
            return False
        raw = cast("bytes", entry)
        try:
            self._do(raw)
        except InvalidRequest as error:
            self._set_aside(raw, str(error))
        except PASSING:
            self._move_back(raw)
            raise
        except Exception as error:
            # A fault of ours. The entry would only bring it about again.
            log.exception("unexpected_error")
            self._set_aside(raw, f"unexpected error: {type(error).__name__}")
        return True

    def settle(self) -> int:
        """Announce the scans that S3 told of and of which nothing came any more. Gives how many.

        Raises:
            PASSING: those that are left are announced later.
        """
        now = self._clock()
        # To the millisecond, so that Redis gives back the very number.
        claim = round(now + CLAIM_S, 3)
        due = cast("list[bytes]", self._client.eval(_CLAIM, 1, self._settling, now, claim, AT_ONCE))
        problems: list[Exception] = []
        for scan in due:
            # One that cannot be announced must not keep those after it from that.
            try:
                self._announce(parse_scan_id(scan.decode()))
                self._client.eval(_SETTLED, 1, self._settling, scan, claim)
            except PASSING as error:
                problems.append(error)
                if len(problems) == AWAY:
                    break
        if problems:
            raise problems[-1]
        return len(due)

    def look(self) -> int:
        """Move entries back that were in work at the last look too: whoever had them is gone. Gives how many.

        Raises:
            redis.RedisError.
        """
        there = set(cast("list[bytes]", self._client.lrange(self._work, 0, -1)))
        stale = there & self._seen
        for entry in stale:
            self._move_back(entry)
            log.warning("arrival_taken_up_again")
        self._seen = there - stale
        return len(stale)

    def _do(self, entry: bytes) -> None:
        arrival: InboxEntry = parse_entry(entry, self._settings)
        for scan_id in arrival.announced:
            self._announce(scan_id)
        with self._client.pipeline(transaction=True) as together:
            if arrival.touched:
                due = self._clock() + self._settings.arrivals_quiet_s
                together.zadd(self._settling, dict.fromkeys(arrival.touched, due))
            if arrival.problem is not None:
                log.error("arrival_refused", reason=arrival.problem)
                add_dead_letter(together, self._list, arrival.problem, entry)
            together.lrem(self._work, 1, cast("Any", entry))
            together.execute()

    def _set_aside(self, entry: bytes, reason: str) -> None:
        log.error("arrival_refused", reason=reason)
        with self._client.pipeline(transaction=True) as together:
            add_dead_letter(together, self._list, reason, entry)
            together.lrem(self._work, 1, cast("Any", entry))
            together.execute()

    def _move_back(self, entry: bytes) -> None:
        """If it is still there: another may have done it, or have moved it back. The others come first."""
        self._client.eval(
            "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('LPUSH', KEYS[2], ARGV[1]) end",
            2,
            self._work,
            self._list,
            cast("Any", entry),
        )


def follow(arrivals: Inbox, stop: threading.Event, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Do arrivals until `stop` is set. Whatever is away is waited for, longer each time."""
    next_look = monotonic()
    failures = 0
    while not stop.is_set():
        try:
            if monotonic() >= next_look:
                arrivals.look()
                next_look = monotonic() + LOOK_EVERY_S
            arrivals.settle()
            arrivals.take(wait_s=1)
            failures = 0
        except Exception as error:  # this thread is all that takes arrivals; it must not end
            failures += 1
            pause_s = min(LONGEST_PAUSE_S, 0.5 * 2.0**failures)
            if isinstance(error, PASSING):
                # Of our own errors the text, of others' only the type: it may hold an address.
                reason = (
                    str(error) if isinstance(error, (StorageError, LedgerError)) else type(error).__name__
                )
                log.warning("arrivals_wait", reason=reason, pause_s=pause_s)
            else:
                log.exception("unexpected_error")
            stop.wait(pause_s)


class InboxStep(bootsteps.StartStopStep):
    """Runs `follow` in a thread of the worker's parent, where there is a list to follow."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._send = sender(worker.app)
        self._stop = threading.Event()
        # A daemon: what it has in work is not lost.
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)

    def include_if(self, worker: Any) -> bool:
        return load_settings().arrivals_list is not None

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stop.set()
        self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        settings = load_settings()
        assert settings.redis_url is not None
        # Not `open_storages`: its connections would be in each process that is forked from here later.
        results = open_storage(settings.results_url, "the storage of results", settings.s3_endpoint_url)

        def tell(scan_id: ScanId) -> None:
            announce(scan_id, settings, results, self._send)

        with open_redis(settings.redis_url) as client:
            follow(Inbox(client, settings, tell), self._stop)
