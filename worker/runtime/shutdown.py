"""Graceful shutdown: on SIGTERM, finish running scans if there is time, and hand them back if there is not.

The worker takes no more messages, and its main loop goes on: a scan that ends is acknowledged as usual, and
the worker ends with its last scan. Shortly before the grace period is over, the processes are asked to stop.
A task sees a SystemExit and gives up its lock. Then the connection is closed, and with it the messages go
back to the queue.

Celery's warm shutdown waits for the running tasks without a limit. Its soft shutdown (`REMAP_SIGTERM=SIGQUIT`
and `worker_soft_shutdown_timeout`) loses no scan, but sleeps in a signal handler for the whole time, and
never ends while a process does not react. docs/architecture.md has the measurements.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from billiard import pool as processes
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.config.logs import get_logger
from worker.config.settings import load_settings
from worker.ledger.base import is_alive

log = get_logger(__name__)

EX_OK: Final = 0
TICK_S: Final = 0.2
# The end of the grace period is kept for these two: a process writes a status and gives up its lock, ...
LET_GO_S: Final = 5.0
# ... and the pool ends and the connection is closed.
END_S: Final = 3.0
# A process that ends waits until its last answer was read, by default for 30 s. When a worker ends, nobody
# may read it any more. Its message goes back, and the next worker finds the scan done.
processes.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # times 0.1 s


class Deadlines:
    """When to ask the processes to stop and when to kill them, after a shutdown was requested.

    Args:
        grace_s: seconds from the request to the end.
        clock: returns seconds of a clock that is never set.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stop_after = max(grace_s - LET_GO_S - END_S, grace_s / 4)
        self._kill_after = max(grace_s - END_S, grace_s / 2)
        self._requested_at: float | None = None

    def request(self) -> None:
        """Start the grace period. A second request changes nothing."""
        if self._requested_at is None:
            self._requested_at = self._clock()

    @property
    def requested(self) -> bool:
        """Whether a shutdown was requested."""
        return self._requested_at is not None

    def stop_now(self) -> bool:
        """Return whether to ask processes that still work to stop."""
        return self._passed(self._stop_after)

    def kill_now(self) -> bool:
        """Return whether to kill processes that were asked and did not stop."""
        return self._passed(self._kill_after)

    def _passed(self, seconds: float) -> bool:
        return self._requested_at is not None and self._clock() - self._requested_at >= seconds


class GracefulShutdown(bootsteps.StartStopStep):
    """A step of Celery's consumer: handles SIGTERM, and checks five times a second what to do next."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._deadlines = Deadlines(load_settings().shutdown_grace_s)
        self._looping = False
        self._cancelled = False
        self._asked: set[int] = set()

    def start(self, consumer: Any) -> None:
        """See Celery."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def stop(self, consumer: Any) -> None:
        """Celery calls this at the end, and when the broker is lost."""
        self._looping = False
        if self._deadlines.requested:
            state.should_stop = EX_OK

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Celery calls this when its main loop begins: at the start, and after each loss of the broker."""
        self._looping = True
        hub.call_repeatedly(TICK_S, self._tick, consumer)

    def _on_signal(self, *_: object) -> None:
        self._deadlines.request()
        if not self._looping:
            state.should_stop = EX_OK

    def _tick(self, consumer: Any) -> None:
        if not self._deadlines.requested:
            return
        if not self._cancelled:
            self._cancelled = True
            consumer.task_consumer.cancel()
            log.info("worker_stopping", scans=len(state.active_requests))
        if self._asked:
            self._wait_for_asked()
        elif not state.reserved_requests:
            state.should_stop = EX_OK
        elif self._deadlines.stop_now():
            self._ask_to_stop(consumer)

    def _ask_to_stop(self, consumer: Any) -> None:
        # Messages that no process has started with go back with the connection.
        for request in tuple(state.active_requests):
            self._asked.add(request.worker_pid)
            log.info("scan_handed_back", task_id=request.id)
            request.cancel(consumer.pool, emit_retry=False)
        if not self._asked:
            state.should_terminate = EX_OK

    def _wait_for_asked(self) -> None:
        alive = {pid for pid in self._asked if is_alive(pid)}
        if alive and self._deadlines.kill_now():
            for pid in alive:
                log.error("process_killed", pid=pid, reason="it did not stop in time")
                os.kill(pid, signal.SIGKILL)
        elif not alive:
            state.should_terminate = EX_OK
