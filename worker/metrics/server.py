"""Metrics over HTTP, for Prometheus. Beat serves them: it runs also where there is no worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from celery import Celery
from prometheus_client import start_http_server

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.metrics.exposition import registry_of
from worker.metrics.look import Look, look

log = get_logger(__name__)
KEEP_S: Final = 5.0  # scrapes within this time get the same look, so that many scrapes cost no more than one


class RecentLook:
    """Takes a look, and returns the same one for `KEEP_S`. It may be used from several threads.

    Args:
        take: Takes a look.
        monotonic: Returns seconds.
    """

    def __init__(self, take: Callable[[], Look], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._take = take
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: tuple[float, Look] | None = None

    def __call__(self) -> Look:
        """Return a look. If `take` raises, log it and let the scrape fail: no number is old."""
        with self._lock:
            if self._last is None or self._monotonic() - self._last[0] >= KEEP_S:
                try:
                    self._last = (self._monotonic(), self._take())
                except Exception as error:
                    log.warning("metrics_not_read", error=type(error).__name__)
                    raise
            return self._last[1]


def serve_metrics(app: Celery, settings: Settings) -> None:
    """Serve metrics in a thread on `METRICS_PORT`, if it is set. Log it if the port cannot be had."""
    if settings.metrics_port is None:
        return
    try:
        registry = registry_of(RecentLook(lambda: look(app, settings)), settings)
        start_http_server(settings.metrics_port, registry=registry)
    except OSError as error:
        # Beat's work does not depend on it.
        log.error("metrics_not_served", port=settings.metrics_port, reason=error.strerror)
        return
    log.info("metrics_served", port=settings.metrics_port)
