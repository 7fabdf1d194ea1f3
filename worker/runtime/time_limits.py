"""Restore the time limits of running scans after the connection to the broker was lost.

Celery keeps them as timers of its main loop, and forgets all timers when that loop starts again. A scan that
goes on would have no limit any more, and one that never ends would keep its process for ever.
"""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks


class RestoreTimeLimits(bootsteps.StartStopStep):
    """A step of Celery's consumer: sets the timers of running scans each time that the main loop starts."""

    requires = (Tasks,)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Celery calls this after the same method of the pool, which creates `on_timeout_set`."""
        set_timers(consumer.pool._pool, time.monotonic())


def set_timers(pool: Any, now: float) -> None:
    """Set the timers of all running jobs of a pool, each for the time that it has left.

    Args:
        pool: `celery.concurrency.asynpool.AsynPool`, in its main loop.
        now: seconds of the monotonic clock, which all processes share.
    """
    for job in tuple(pool._cache.values()):
        if job._time_accepted is None or job.ready() or not job._timeout:
            continue
        elapsed = now - job._time_accepted
        # Past the soft limit, only the hard limit is set.
        soft = (job._soft_timeout or 0) - elapsed
        pool.on_timeout_set(job, soft if soft > 0 else None, max(0.01, job._timeout - elapsed))
