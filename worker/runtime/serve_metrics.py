"""The metrics of one worker over HTTP: what it counts, and whether it is ready. Its parent serves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from celery.worker.components import Pool
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.config.settings import load_settings
from worker.counters import REGISTRY
from worker.metrics.exposition import Metric, build_info
from worker.metrics.server import MetricsServer
from worker.queue import NAME
from worker.runtime.reports import condition


class WorkerCollector(Collector):
    """What a worker is at the moment of a scrape.

    Args:
        pool: Celery's pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.ready = False

    def describe(self) -> list[Metric]:
        """See prometheus_client."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        ready = self.ready and condition.problem is None
        running = sum(each.name == NAME for each in tuple(state.active_requests))
        yield GaugeMetricFamily("pose_worker_ready", "1 if this worker can take scans.", ready)
        yield GaugeMetricFamily("pose_worker_processes", "Its processes.", self._pool.num_processes)
        yield GaugeMetricFamily("pose_worker_running_scans", "Scans that it works on.", running)
        yield build_info(load_settings())


class ServeMetrics(bootsteps.StartStopStep):
    """A step of Celery's worker: serves the metrics from the time on when the models are being loaded."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._server = MetricsServer()

    def include_if(self, worker: Any) -> bool:
        return load_settings().metrics_port is not None

    def start(self, worker: Any) -> None:
        """Listen. A port that is taken is logged, and the worker goes on."""
        collector = WorkerCollector(worker.pool)

        @signals.worker_ready.connect(weak=False)
        def _now_ready(**_: Any) -> None:
            collector.ready = True

        @signals.worker_process_init.connect(weak=False)
        def _close_in_process(**_: Any) -> None:
            # A process that was forked later has the socket too, and would hold the port after its parent.
            self._server.close_socket()

        REGISTRY.register(collector)
        self._server.start(load_settings(), REGISTRY)

    def stop(self, worker: Any) -> None:
        """Close the port."""
        self._server.stop()
