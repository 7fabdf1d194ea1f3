"""A worker is ready when each of its processes has loaded its model.

Celery takes messages as soon as its processes exist. This step makes it wait, so that no message waits for a
model to load, only workers that can work answer `inspect ping`, and a worker that cannot load its model takes
no message.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.exceptions import WorkerLostError
from celery.worker.components import Pool
from celery.worker.state import maybe_shutdown

LOOK_EVERY_S: Final = 0.5
_pipe: tuple[int, int] | None = None  # the parent makes it, and its children write to it


def report_ready() -> None:
    """Report that this process has loaded its model. Do not block."""
    if _pipe is not None:
        with suppress(OSError):  # the pipe is full: of reports that nobody waits for any more
            os.write(_pipe[1], b".")


class WaitForModels(bootsteps.StartStopStep):
    """A step of Celery's worker: starts after the pool, and before all that talks to the broker."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        global _pipe
        # Made before the fork, so that the children have it. It stays open for children that come later.
        _pipe = os.pipe()
        for end in _pipe:
            os.set_blocking(end, False)

    def start(self, worker: Any) -> None:
        """Wait until all processes are ready.

        Raises:
            celery.exceptions.WorkerLostError: a process ended. The worker ends as well.
            WorkerShutdown, WorkerTerminate: somebody asked the worker to end, or a process cannot start.
        """
        if not isinstance(worker.pool, PreforkPool):
            # This process does the work itself. Celery has sent this signal for "solo", but not for
            # "threads".
            signals.worker_process_init.send(sender=None)
            maybe_shutdown()
            return
        assert _pipe is not None
        waiting = worker.pool.num_processes
        while waiting > 0:
            maybe_shutdown()
            # The main loop would start a new process, but it does not run yet.
            if not worker.pool.did_start_ok():
                raise WorkerLostError("a process ended while it loaded its model")
            if select.select([_pipe[0]], [], [], LOOK_EVERY_S)[0]:
                waiting -= len(os.read(_pipe[0], 4096))
        maybe_shutdown()
