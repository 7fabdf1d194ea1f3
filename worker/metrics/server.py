"""Metrics over HTTP, for Prometheus. Beat serves a look at all workers, also where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from celery import Celery
from prometheus_client import CollectorRegistry, start_http_server

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


class MetricsServer:
    """Serves metrics in a thread on `METRICS_PORT`, if it is set."""

    def __init__(self) -> None:
        self._http: Any = None

    def start(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Begin to serve. Log it if the port cannot be had: no scan depends on it."""
        if settings.metrics_port is None:
            return
        try:
            self._http, _ = start_http_server(settings.metrics_port, registry=registry)
        except OSError as error:
            log.error("metrics_not_served", port=settings.metrics_port, reason=error.strerror)
            return
        log.info("metrics_served", port=settings.metrics_port)

    def close_socket(self) -> None:
        """Close the socket in a process that was forked from the one that serves."""
        if self._http is not None:
            self._http.socket.close()

    def stop(self) -> None:
        """Serve no more, and free the port."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()


def serve_look(app: Celery, settings: Settings) -> None:
    """Serve a look at queue and workers, taken at each scrape."""
    MetricsServer().start(settings, registry_of(RecentLook(lambda: look(app, settings)), settings))
