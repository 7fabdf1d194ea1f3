"""A worker is ready when each of its processes has loaded its model, and not before.

Celery begins to take messages as soon as its processes exist. Until then this step stands in the way, so the
first scan waits for no model, `inspect ping` is answered by workers that can work, and a worker that cannot
load its model never takes a message.
"""

from __future__ import annotations

import os
import select
from typing import Any, Final

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.exceptions import WorkerLostError
from celery.worker.components import Pool
from celery.worker.state import maybe_shutdown

LOOK_EVERY_S: Final = 0.5
_pipe: tuple[int, int] | None = None  # made in the parent, and written to by its children


def report_ready() -> None:
    """To be called by a process that has loaded its model. Never blocks."""
    if _pipe is not None:
        try:
            os.write(_pipe[1], b".")
        except OSError:  # full: of processes that came later, which nobody waits for
            return


class WaitForModels(bootsteps.StartStopStep):
    """Starts after the pool, and before all that talks to the broker."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        global _pipe
        # Before the fork, or the children would have no end of it. It stays open: some will come later.
        _pipe = os.pipe()
        for end in _pipe:
            os.set_blocking(end, False)

    def start(self, worker: Any) -> None:
        """Wait.

        Raises:
            celery.exceptions.WorkerLostError: a process ended meanwhile, and the worker is to end as well.
            WorkerShutdown, WorkerTerminate: somebody asked it to, or a process said that it cannot start.
        """
        if not isinstance(worker.pool, PreforkPool):
            # It does its work in this process. The pool "solo" has said so already, "threads" never does.
            signals.worker_process_init.send(sender=None)
            maybe_shutdown()
            return
        assert _pipe is not None
        waiting = worker.pool.num_processes
        while waiting > 0:
            maybe_shutdown()
            # Nobody would start another: that is done by the loop that has not begun.
            if not worker.pool.did_start_ok():
                raise WorkerLostError("a process ended while it loaded its model")
            if select.select([_pipe[0]], [], [], LOOK_EVERY_S)[0]:
                waiting -= len(os.read(_pipe[0], 4096))
        maybe_shutdown()
