"""Whether a worker still does its work: told by what it does, and not by its process being there.

The worker's main loop writes a sign of life into a file, every two seconds, with what it sees of itself.
`python -m worker health` reads it, and looks whether messages wait that the worker could take and does not.

The sign comes from the main loop, which the pool "solo" blocks during a scan: such a worker may seem
unhealthy while it works.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from celery import bootsteps
from celery.utils.nodenames import default_nodename, host_format
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from worker.config.logs import get_logger
from worker.config.settings import Settings, load_settings

log = get_logger(__name__)

EVERY_S: Final = 2.0
# Until a process takes the scan that it was given; it may have to be started and to load its model first.
UNBEGUN_S: Final = 300.0
# Celery kills a process soon after the time limit. It did not if the scan still runs so much later.
OVERTIME_S: Final = 60.0


@dataclass(frozen=True)
class Sign:
    """What a worker says of itself.

    Attributes:
        at: seconds of the clock that all processes of the machine share and that is never set.
        taken: scans that its processes began with so far.
        free: whether it could take another.
        queues: where it takes messages from.
        problem: what the worker itself sees, for a person to read.
    """

    at: float
    taken: int
    free: bool
    queues: list[str]
    problem: str | None


def file_of(settings: Settings, name: str | None) -> Path:
    """Where the worker of this name (`celery@%h` without one, as Celery's own) leaves its sign."""
    node = host_format(default_nodename(name))
    return settings.run_dir.absolute() / "health" / f"{quote(node, safe='@')}.json"


class Heartbeat(bootsteps.StartStopStep):
    """The step of the consumer that writes it."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._settings = load_settings()
        self._path = file_of(self._settings, consumer.hostname)
        self._unbegun: dict[str, float] = {}
        self._failed = False
        self._path.unlink(missing_ok=True)  # of one that was killed

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.call_repeatedly(EVERY_S, self._write, consumer)
        hub.call_soon(self._write, consumer)

    def shutdown(self, consumer: Any) -> None:
        """It ends in order, and is not there any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, consumer: Any) -> None:
        sign = self._sign(consumer)
        draft = self._path.with_suffix(".draft")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(asdict(sign)))
            os.replace(draft, self._path)
        except OSError as error:
            # Scans do not depend on it. Said once: it would be every two seconds.
            if not self._failed:
                log.error("sign_of_life_not_written", reason=os.strerror(error.errno or 0))
            self._failed = True

    def _sign(self, consumer: Any) -> Sign:
        now = time.monotonic()
        requests, begun = tuple(state.reserved_requests), set(state.active_requests)
        self._unbegun = {each.id: self._unbegun.get(each.id, now) for each in requests if each not in begun}
        tasks = consumer.task_consumer
        queues = [queue.name for queue in tasks.queues if tasks.consuming_from(queue.name)]
        return Sign(
            at=now,
            taken=state.all_total_count[0],
            free=len(requests) < consumer.pool.num_processes,
            queues=queues,
            problem=self._problem(now, queues, begun),
        )

    def _problem(self, now: float, queues: list[str], begun: set[Any]) -> str | None:
        if not queues:
            return "it takes no messages from any queue"
        unbegun = max((now - since for since in self._unbegun.values()), default=0.0)
        if unbegun > UNBEGUN_S:
            return f"no process has begun with a scan that came {unbegun:.0f} s ago"
        for request in begun:
            runs_for = time.time() - request.time_start
            if runs_for > (request.task.time_limit or self._settings.time_limit_s) + OVERTIME_S:
                return f"a scan has run for {runs_for:.0f} s, which is over the time limit"
        return None
