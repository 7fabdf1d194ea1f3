"""Time limits that outlive a loss of the broker.

Celery keeps them as timers of its main loop, and forgets all timers when that loop begins anew. A scan that
runs on meanwhile would have no limit any more, and one that never ends would keep its process for ever.
"""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker.consumer.tasks import Tasks


class RestoreTimeLimits(bootsteps.StartStopStep):
    """A step of the consumer: sets the timers of what is running, each time that the loop begins."""

    requires = (Tasks,)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """After the pool's own step, whose timers these are."""
        if isinstance(consumer.pool, PreforkPool):
            set_timers(consumer.pool._pool, time.monotonic())


def set_timers(pool: Any, now: float) -> None:
    """Set the timers of the jobs that a pool has running, for the time that is left to each.

    Args:
        pool: `celery.concurrency.asynpool.AsynPool`, in its main loop.
        now: on the monotonic clock, which is one for all processes.
    """
    for job in tuple(pool._cache.values()):
        if job._time_accepted is None or job.ready() or not job._timeout:
            continue
        elapsed = now - job._time_accepted
        # One that is past its soft limit has heard of it, or missed it: the hard one comes to the same.
        soft = (job._soft_timeout or 0) - elapsed
        pool.on_timeout_set(job, soft if soft > 0 else None, max(0.01, job._timeout - elapsed))
