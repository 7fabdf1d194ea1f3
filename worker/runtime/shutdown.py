"""SIGTERM: no more messages are taken, a scan is finished if there is time, and handed back if there is not.

Celery's own answer to SIGTERM waits for the running task without end. Its other one, which `REMAP_SIGTERM` in
the environment brings, sleeps through all of the time in a signal handler, with answers of finished tasks
unread. Here the main loop goes on turning: a scan that ends is acknowledged as ever, and the worker ends with
its last one. Where time runs short the processes are asked to stop: a task sees a SystemExit and lets go
of its scan. Then the connection is closed, and with that its messages go back to where they came from.

A pool without processes of its own keeps Celery's way.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from billiard import pool as processes
from celery import bootsteps
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.config.logs import get_logger
from worker.config.settings import load_settings

log = get_logger(__name__)

EX_OK: Final = 0
TICK_S: Final = 0.2
# Of the grace period, for a process to let go of its scan: a status is written, a lock given back.
LET_GO_S: Final = 5.0
# And for what comes after: the pool ends, the connection is closed.
END_S: Final = 3.0
# A process that ends waits until its last answer was read, by default for 30 s. At the end of a worker nobody
# reads it any more; its message goes back, and is answered at once.
processes.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # times 0.1 s


class Drain:
    """What is to be done at which time, once somebody asked for the end. Knows no Celery.

    Args:
        grace_s: seconds from the request to the end.
        clock: seconds of a clock that is never set.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kill_after = max(grace_s - END_S, grace_s / 2)
        self._tell_after = max(grace_s - LET_GO_S - END_S, grace_s / 4)
        self._asked_at: float | None = None

    def ask(self) -> None:
        """Somebody asks; whoever asks again changes nothing."""
        if self._asked_at is None:
            self._asked_at = self._clock()

    @property
    def asked(self) -> bool:
        return self._asked_at is not None

    def tell_now(self) -> bool:
        """Whether processes that are not done are to be asked to stop."""
        return self._passed(self._tell_after)

    def kill_now(self) -> bool:
        """Whether those that did not listen are to be killed."""
        return self._passed(self._kill_after)

    def _passed(self, seconds: float) -> bool:
        return self._asked_at is not None and self._clock() - self._asked_at >= seconds


class GracefulShutdown(bootsteps.StartStopStep):
    """A step of the consumer: the signal's handler, and a look at it some times a second."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._drain = Drain(load_settings().shutdown_grace_s)
        self._parent = os.getpid()
        self._running = False
        self._stopped_taking = False
        self._told: set[int] = set()

    def start(self, consumer: Any) -> None:
        if isinstance(consumer.pool, PreforkPool):
            signal.signal(signal.SIGTERM, self._on_signal)

    def stop(self, consumer: Any) -> None:
        """It stops for good, or the broker is away: the scans it had are cancelled by then."""
        self._running = False
        if self._drain.asked:
            state.should_stop = EX_OK

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """The loop begins, at the start and after each loss of the broker."""
        self._running = True
        hub.call_repeatedly(TICK_S, self._tick, consumer)

    def _on_signal(self, *_: object) -> None:
        if os.getpid() != self._parent:
            os._exit(128 + signal.SIGTERM)  # a child just after the fork, which has no handler of its own yet
        self._drain.ask()
        if not self._running:
            state.should_stop = EX_OK

    def _tick(self, consumer: Any) -> None:
        if not self._drain.asked:
            return
        if not self._stopped_taking:
            self._stopped_taking = True
            consumer.task_consumer.cancel()
            log.info("worker_stopping", scans=len(state.active_requests))
        if self._told:
            self._wait_for_told()
        elif not state.reserved_requests:
            state.should_stop = EX_OK
        elif self._drain.tell_now():
            self._tell(consumer)

    def _tell(self, consumer: Any) -> None:
        """Ask the processes to stop. Messages that no process has begun with go back by themselves."""
        for request in tuple(state.active_requests):
            self._told.add(request.worker_pid)
            log.info("scan_handed_back", task_id=request.id)
            # No retry is announced: the message itself goes back.
            request.cancel(consumer.pool, emit_retry=False)
        if not self._told:
            state.should_terminate = EX_OK

    def _wait_for_told(self) -> None:
        alive = {pid for pid in self._told if _is_alive(pid)}
        if alive and self._drain.kill_now():
            for pid in alive:
                log.error("process_killed", pid=pid, reason="it did not let go of its scan in time")
                os.kill(pid, signal.SIGKILL)
        elif not alive:
            state.should_terminate = EX_OK


def _is_alive(pid: int) -> bool:
    """Of a child that the pool may not have noticed the end of yet."""
    try:
        # Not taken note of here: that is the pool's.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
