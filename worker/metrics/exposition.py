"""The numbers of a look as metrics for Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from worker.config.settings import Settings
from worker.metrics.look import Look

Metric = GaugeMetricFamily | InfoMetricFamily
_AGE: Final = "Seconds since the oldest message that waits in the queue was sent."


class LookCollector(Collector):
    """Takes one look at each scrape.

    Args:
        take: Returns the look.
        settings: Of this process.
    """

    def __init__(self, take: Callable[[], Look], settings: Settings) -> None:
        self._take = take
        self._settings = settings

    def describe(self) -> list[Metric]:
        """See prometheus_client. Without it, to register would take a look."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        found = self._take()
        waiting = GaugeMetricFamily("pose_waiting_scans", "Scans that wait, by place.", labels=["place"])
        for place, count in found.waiting.items():
            waiting.add_metric([place.value], count)
        yield waiting
        dead = GaugeMetricFamily("pose_dead_entries", "Entries that could not be read.", labels=["list"])
        for name, count in found.dead.items():
            dead.add_metric([name], count)
        yield dead
        if found.oldest_s is not None:
            yield GaugeMetricFamily("pose_oldest_waiting_seconds", _AGE, found.oldest_s)
        yield GaugeMetricFamily("pose_running_scans", "Scans that are worked on.", found.running)
        yield GaugeMetricFamily("pose_processes", "Processes of the workers that answered.", found.processes)
        yield GaugeMetricFamily("pose_workers", "Workers that answered.", found.workers)
        yield GaugeMetricFamily("pose_load", "(waiting + running) / processes.", found.load)
        yield GaugeMetricFamily("pose_quarantined_scans", "Scans in quarantine.", found.quarantined)
        yield GaugeMetricFamily("pose_beat_seen", "1 if a beat ran within LOCK_TTL_S.", found.beat_seen)
        yield build_info(self._settings)


def build_info(settings: Settings) -> Metric:
    """Return the versions, and what the settings say of the model."""
    return InfoMetricFamily(
        "pose_build",
        "Versions, and the settings of this process.",
        {
            "version": version("pose-worker"),
            "celery": version("celery"),
            "python": platform.python_version(),
            "model": settings.model,
            "runtime": settings.runtime,
            "device": settings.device,
        },
    )


def registry_of(take: Callable[[], Look], settings: Settings) -> CollectorRegistry:
    """Return a registry with the metrics of a look, which is taken at each scrape."""
    registry = CollectorRegistry()
    registry.register(LookCollector(take, settings))
    return registry
