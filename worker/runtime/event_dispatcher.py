"""Celery's own events, which Flower shows. See `worker.scans.events` for ours."""

from __future__ import annotations

from typing import Any

from celery.app import events
from celery.events import dispatcher


class Dispatcher(dispatcher.EventDispatcher):
    """Tells each once.

    Celery's tries again until the broker answers, and does so in the worker's one main loop, from which also
    SIGTERM and time limits are looked after. A heartbeat that nobody takes is a broker that is away: whoever
    connects anew gets the error.
    """

    def _publish(self, event: Any, producer: Any, routing_key: str, retry: bool = False, **_: Any) -> None:
        super()._publish(event, producer, routing_key)
        if retry and self._outbound_buffer and self._outbound_buffer[-1][0] is event:
            _, _, error = self._outbound_buffer.pop()
            raise error


class Events(events.Events):
    """What the app makes them with."""

    dispatcher_cls = "worker.runtime.event_dispatcher:Dispatcher"
