"""Celery's own events, which Flower shows. The project's events are in `worker.scans.events`."""

from __future__ import annotations

from typing import Any

from celery.app import events
from celery.events import dispatcher


class Dispatcher(dispatcher.EventDispatcher):
    """Send each event once.

    Celery repeats a heartbeat until the broker answers, in the worker's main loop. While Redis is silent,
    that loop would handle neither SIGTERM nor time limits. Here a heartbeat that cannot be sent raises the
    broker's error, and Celery connects again.
    """

    def _publish(self, event: Any, producer: Any, routing_key: str, retry: bool = False, **_: Any) -> None:
        super()._publish(event, producer, routing_key)
        if retry and self._outbound_buffer and self._outbound_buffer[-1][0] is event:
            _, _, error = self._outbound_buffer.pop()
            raise error


class Events(events.Events):
    """Makes the app use this dispatcher."""

    dispatcher_cls = "worker.runtime.event_dispatcher:Dispatcher"
