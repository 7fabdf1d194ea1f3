"""Stop taking scans when the processes of this worker cannot work, one after another.

A device that has failed is found within a second by each process that uses it. Such a worker would take most
of the queue and give all of it back.
"""

from __future__ import annotations

import time
from typing import Any, Final

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.config.logs import get_logger
from worker.runtime.reports import MAX_UNFIT, Kind, condition, read_reports

log = get_logger(__name__)

TICK_S: Final = 1.0
PAUSE_S: Final = 60.0  # doubled each time, until a scan is finished
MAX_PAUSE_S: Final = 900.0


class PauseIntake(bootsteps.StartStopStep):
    """A step of Celery's consumer: reads the reports of the processes, and stops taking scans.

    After a pause, and with a process that has passed its check, the worker takes scans again; at once if one
    of its processes has finished a scan meanwhile. The first one that cannot work makes the next pause.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._until: float | None = None
        self._pause_s = PAUSE_S
        self._process_ready = True

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Celery calls this when its main loop begins: at the start, and after each loss of the broker."""
        hub.call_repeatedly(TICK_S, self._tick, consumer)

    def _tick(self, consumer: Any) -> None:
        for report in read_reports():
            condition.add(report)
            if report.kind is Kind.DONE:
                self._pause_s = PAUSE_S
            elif report.kind is Kind.UNFIT:
                self._process_ready = False
            elif report.kind is Kind.READY:
                self._process_ready = True
        now = time.monotonic()
        if self._until is None and condition.unfit >= MAX_UNFIT:
            self._until = now + self._pause_s
            log.critical("worker_takes_no_scans", reason=condition.reason, pause_s=self._pause_s)
            self._pause_s = min(MAX_PAUSE_S, 2 * self._pause_s)
        if self._until is None:
            return
        if condition.unfit < MAX_UNFIT or (now >= self._until and self._process_ready):
            self._until = None
            condition.unfit = min(condition.unfit, MAX_UNFIT - 1)
            log.warning("worker_takes_scans_again")
            consumer.task_consumer.consume()
        else:
            _take_nothing(consumer)


def _take_nothing(consumer: Any) -> None:
    tasks = consumer.task_consumer
    if any(tasks.consuming_from(queue.name) for queue in tasks.queues):
        tasks.cancel()
    # Messages that no process has started with go to another worker. Celery's pool still has them: if a
    # process becomes free, it starts with them as well, and finds the scan locked or done, or does it.
    for request in tuple(state.reserved_requests):
        if request not in state.active_requests and not request.acknowledged:
            request.reject(requeue=True)
