"""Move messages whose time has come back into the queue: retries, and what producers sent with `eta`."""

from __future__ import annotations

from typing import Any, Final

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks

from worker.broker.redis import Channel
from worker.config.logs import get_logger

log = get_logger(__name__)

EVERY_S: Final = 1.0


class MoveDelayed(bootsteps.StartStopStep):
    """A step of Celery's consumer: each worker looks once a second, also while it takes no scans itself.

    Other brokers than Redis keep Celery's way: such messages wait in the memory of a worker.
    """

    requires = (Tasks,)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Celery calls this when its main loop begins: at the start, and after each loss of the broker."""
        if isinstance(consumer.task_consumer.channel, Channel):
            hub.call_repeatedly(EVERY_S, self._move, consumer)
            hub.call_soon(self._move, consumer)

    def _move(self, consumer: Any) -> None:
        # An error of Redis ends the loop, and Celery connects again.
        tasks = consumer.task_consumer
        moved = tasks.channel.move_due([queue.name for queue in tasks.queues])
        if moved:
            log.info("delayed_scans_due", messages=moved)
