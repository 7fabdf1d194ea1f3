"""A worker is ready when each of its processes has loaded its model and can use the storages.

Celery takes messages as soon as its processes exist. This step makes it wait, so that no message waits for a
model to load, only workers that can work answer `inspect ping`, and a worker that cannot load its model or
use its storages takes no message.
"""

from __future__ import annotations

import select
from typing import Any, Final

from celery import bootsteps
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.exceptions import WorkerLostError
from celery.worker.components import Pool
from celery.worker.state import maybe_shutdown

from worker.config.settings import SettingsError, load_settings
from worker.runtime.heartbeat import HeartbeatFile, heartbeat_file
from worker.runtime.reports import Kind, open_reports, read_reports, wait_fd
from worker.runtime.serve_metrics import ServeMetrics

LOOK_EVERY_S: Final = 0.5


class WaitForModels(bootsteps.StartStopStep):
    """A step of Celery's worker: starts after the pool, and before all that talks to the broker."""

    requires = (Pool, ServeMetrics)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        _refuse_other_pools(worker.pool_cls)
        open_reports()
        self._file = HeartbeatFile(heartbeat_file(load_settings(), worker.hostname))
        self._file.remove()  # of a worker that was killed

    def start(self, worker: Any) -> None:
        """Wait until all processes are ready.

        Raises:
            celery.exceptions.WorkerLostError: a process ended. The worker ends as well.
            WorkerShutdown, WorkerTerminate: somebody asked the worker to end, or a process cannot start.
        """
        try:
            self._wait(worker.pool)
        except BaseException:
            self._file.remove()
            raise

    def _wait(self, pool: Any) -> None:
        waiting, reason = pool.num_processes, "its processes load their models"
        while waiting > 0:
            maybe_shutdown()
            # The main loop would start a new process, but it does not run yet.
            if not pool.did_start_ok():
                raise WorkerLostError("a process ended while it loaded its model")
            self._file.write_not_ready(reason)
            select.select([wait_fd()], [], [], LOOK_EVERY_S)
            for report in read_reports():
                waiting -= report.kind is Kind.READY
                reason = report.reason or reason
        maybe_shutdown()


def _refuse_other_pools(pool: type) -> None:
    """Raise SettingsError unless the pool works with processes."""
    if not issubclass(pool, PreforkPool):
        raise SettingsError(
            f"the pool {pool.__module__.rpartition('.')[2]} (--pool) is not supported: leave out --pool for"
            " prefork. Elsewhere no time limit ends a scan, and no process that fails can be replaced"
        )
