"""The inbox: a Redis list in which other programs announce scans. A thread of the worker empties it.

An entry is never lost. It is moved to `<list>:work`, and deleted there when its scans are in the queue. If a
worker dies in between, another worker moves the entry back after it saw it there twice, a minute apart. So an
entry may be processed twice, which costs one message that finds nothing to do.

A notification of S3 says that an object was stored, not that its scan is complete. Such a scan is debounced:
it waits in the sorted set `<list>:settling` until none of its objects came for `ARRIVALS_QUIET_S` seconds.
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
from worker.counters import count
from worker.intake.announce import announce
from worker.intake.inbox_entry import parse_entry
from worker.keys import InvalidRequest, ScanId, parse_scan_id
from worker.ledger.base import LedgerError
from worker.ledger.opening import open_ledger
from worker.queue import sender
from worker.scans.tombstones import ScanErased
from worker.storage.base import StorageError
from worker.storage.opening import open_storage

log = get_logger(__name__)

STALE_CHECK_S: Final = 60.0
CLAIM_S: Final = 60.0
BATCH_SIZE: Final = 100
MAX_FAILURES: Final = 3  # so many failures in one batch mean that a storage or the broker is away
MAX_PAUSE_S: Final = 30.0
STOP_TIMEOUT_S: Final = 3.0
# Errors that pass by themselves: the entry is kept, and processed later.
TRANSIENT: Final = (redis.RedisError, OSError, StorageError, LedgerError, OperationalError)

# Claim debounced scans for a while. If this worker dies meanwhile, another one claims them after that.
_CLAIM: Final = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, scan in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], scan) end
return due
"""
# Forget an announced scan, unless another object came meanwhile, which gave it another time.
_FORGET: Final = """
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') == tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], ARGV[1])
end
"""
# Move an entry back, unless another worker has processed it or has moved it back.
_REQUEUE: Final = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('LPUSH', KEYS[2], ARGV[1]) end
"""


def work_list(arrivals: str) -> str:
    """Return the key of the list of entries that workers process at the moment."""
    return f"{arrivals}:work"


def debounced_key(arrivals: str) -> str:
    """Return the key of the sorted set of scans that wait for more of their objects."""
    return f"{arrivals}:settling"


class Inbox:
    """The list of announced scans in Redis.

    Args:
        client: Its timeout is some seconds longer than the time that `process_next` waits.
        settings: With `arrivals_list`.
        announce: Puts a scan into the queue. An error of TRANSIENT keeps the entry; with any other error it
            becomes a dead letter.
        clock: Returns seconds of the epoch, about the same on all workers.
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
        self._work = work_list(self._list)
        self._debounced = debounced_key(self._list)
        self._client = client
        self._settings = settings
        self._announce = announce
        self._clock = clock
        self._seen: set[bytes] = set()

    def process_next(self, wait_s: int) -> bool:
        """Process the next entry, and return whether there was one.

        Args:
            wait_s: Seconds to wait for an entry, 1 or more. Redis takes 0 for no limit.

        Raises:
            Exception: One of TRANSIENT. The entry is back on the list, unless Redis is away.
        """
        # From the right: producers put entries in with LPUSH, as Celery does.
        entry = self._client.blmove(self._list, self._work, wait_s, "RIGHT", "LEFT")
        if entry is None:
            return False
        raw = cast("bytes", entry)
        try:
            self._process(raw)
        except InvalidRequest as error:
            self._finish(raw, problem=str(error))
        except TRANSIENT:
            self._requeue(raw)
            raise
        except Exception as error:
            # A bug of ours, which the entry would only trigger again.
            log.exception("unexpected_error")
            self._finish(raw, problem=f"unexpected error: {type(error).__name__}")
        return True

    def announce_debounced(self) -> int:
        """Announce the scans of which no object came for a while, and return how many were due.

        Raises:
            Exception: One of TRANSIENT. The other scans are announced later.
        """
        now = self._clock()
        # Rounded to milliseconds, so that Redis returns exactly this number.
        claim = round(now + CLAIM_S, 3)
        due = cast("list[bytes]", self._client.eval(_CLAIM, 1, self._debounced, now, claim, BATCH_SIZE))
        problems: list[Exception] = []
        for scan in due:
            try:
                self._announce_unless_erased(parse_scan_id(scan.decode()))
                self._client.eval(_FORGET, 1, self._debounced, scan, claim)
            except TRANSIENT as error:
                # Go on: one scan that cannot be announced must not hold up the others.
                problems.append(error)
                if len(problems) == MAX_FAILURES:
                    break
        if problems:
            raise problems[-1]
        return len(due)

    def requeue_stale(self) -> int:
        """Move back the entries that were in work at the last call too: their worker is gone.

        Returns:
            How many there were.

        Raises:
            redis.RedisError: Redis cannot be used.
        """
        in_work = set(cast("list[bytes]", self._client.lrange(self._work, 0, -1)))
        stale = in_work & self._seen
        for entry in stale:
            self._requeue(entry)
            log.warning("arrival_taken_up_again")
        self._seen = in_work - stale
        return len(stale)

    def _process(self, raw: bytes) -> None:
        entry = parse_entry(raw, self._settings)
        for scan_id in entry.announced:
            self._announce_unless_erased(scan_id)
        self._finish(raw, entry.touched, entry.problem)

    def _announce_unless_erased(self, scan_id: ScanId) -> None:
        try:
            self._announce(scan_id)
        except ScanErased as error:
            # No dead letter: it would name the scan.
            log.warning("arrival_of_erased_scan", reason=str(error))

    def _finish(self, raw: bytes, touched: tuple[ScanId, ...] = (), problem: str | None = None) -> None:
        """Delete an entry from the work list. Debounce the scans that it touches."""
        with self._client.pipeline(transaction=True) as pipeline:
            if touched:
                due = self._clock() + self._settings.arrivals_quiet_s
                pipeline.zadd(self._debounced, dict.fromkeys(touched, due))
            if problem is not None:
                log.error("arrival_refused", reason=problem)
                add_dead_letter(pipeline, self._list, problem, raw)
                count("pose_refused_entries", "arrivals")
            pipeline.lrem(self._work, 1, cast("Any", raw))
            pipeline.execute()

    def _requeue(self, raw: bytes) -> None:
        self._client.eval(_REQUEUE, 2, self._work, self._list, cast("Any", raw))


def run_inbox(inbox: Inbox, stop: threading.Event, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Process an inbox until `stop` is set. After an error, pause longer each time."""
    next_check = monotonic()
    failures = 0
    while not stop.is_set():
        try:
            if monotonic() >= next_check:
                inbox.requeue_stale()
                next_check = monotonic() + STALE_CHECK_S
            inbox.announce_debounced()
            inbox.process_next(wait_s=1)
            failures = 0
        except Exception as error:  # only this thread processes the inbox, so it must not end
            failures += 1
            pause_s = min(MAX_PAUSE_S, 0.5 * 2.0**failures)
            if isinstance(error, TRANSIENT):
                # The text of our own errors only. Other texts may hold an address.
                ours = isinstance(error, (StorageError, LedgerError))
                log.warning(
                    "arrivals_wait", reason=str(error) if ours else type(error).__name__, pause_s=pause_s
                )
            else:
                log.exception("unexpected_error")
            stop.wait(pause_s)


class InboxStep(bootsteps.StartStopStep):
    """Runs the inbox in a thread of the worker's parent process, if `ARRIVALS_LIST` is set."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._send = sender(worker.app)
        self._stop = threading.Event()
        # A daemon: an entry that it has in work is not lost.
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)

    def include_if(self, worker: Any) -> bool:
        return load_settings().arrivals_list is not None

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stop.set()
        self._thread.join(timeout=STOP_TIMEOUT_S)

    def _run(self) -> None:
        settings = load_settings()
        assert settings.redis_url is not None
        # Not `open_storages`: child processes that are forked later would inherit its connections.
        results = open_storage(settings.results_url, "the storage of results", settings.s3_endpoint_url)

        def put_into_queue(scan_id: ScanId) -> None:
            announce(scan_id, settings, results, self._send)

        with open_redis(settings.redis_url, master_name=settings.redis_master_name) as client:
            inbox = Inbox(client, settings, put_into_queue, open_ledger(settings).now)
            run_inbox(inbox, self._stop)
