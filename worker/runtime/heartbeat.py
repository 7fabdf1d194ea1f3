"""The heartbeat of a worker: its main loop writes a file every two seconds, with what it sees of itself.

`python -m worker health` reads the file, and looks whether messages wait that the worker could take and does
not.

A pool of kind "solo" blocks the main loop during a scan, so such a worker may seem unhealthy while it works.
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
# Time for a process to start with a message: it may have to be forked and to load its model first.
START_S: Final = 300.0
# Celery kills a process at the time limit. A scan that runs for so much longer is in a process that cannot be
# killed, as when a driver hangs.
OVERTIME_S: Final = 60.0


@dataclass(frozen=True)
class Heartbeat:
    """What a worker writes of itself.

    Attributes:
        at: seconds of the monotonic clock, which all processes of the machine share.
        taken: number of scans that its processes have started with so far.
        free: whether it could take another scan.
        queues: names of the queues that it takes messages from.
        problem: what is wrong with the worker, in words; None if nothing is.
    """

    at: float
    taken: int
    free: bool
    queues: list[str]
    problem: str | None


def heartbeat_file(settings: Settings, node: str | None) -> Path:
    """Return the file of the worker with this node name. None is Celery's default, `celery@%h`."""
    name = host_format(default_nodename(node))
    return settings.run_dir.absolute() / "health" / f"{quote(name, safe='@')}.json"


class HeartbeatStep(bootsteps.StartStopStep):
    """A step of Celery's consumer: writes the heartbeat."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._settings = load_settings()
        self._path = heartbeat_file(self._settings, consumer.hostname)
        self._waiting_since: dict[str, float] = {}
        self._failed = False
        self._path.unlink(missing_ok=True)  # of a worker that was killed

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """See Celery."""
        hub.call_repeatedly(EVERY_S, self._write, consumer)
        hub.call_soon(self._write, consumer)

    def shutdown(self, consumer: Any) -> None:
        """Remove the file: a worker that has ended has no heartbeat."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, consumer: Any) -> None:
        heartbeat = self._heartbeat(consumer)
        draft = self._path.with_suffix(".draft")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(asdict(heartbeat)))
            os.replace(draft, self._path)
        except OSError as error:
            # Scans do not depend on it. Log it once, and not every two seconds.
            if not self._failed:
                log.error("sign_of_life_not_written", reason=os.strerror(error.errno or 0))
            self._failed = True

    def _heartbeat(self, consumer: Any) -> Heartbeat:
        now = time.monotonic()
        requests, active = tuple(state.reserved_requests), set(state.active_requests)
        self._waiting_since = {
            each.id: self._waiting_since.get(each.id, now) for each in requests if each not in active
        }
        tasks = consumer.task_consumer
        queues = [queue.name for queue in tasks.queues if tasks.consuming_from(queue.name)]
        return Heartbeat(
            at=now,
            taken=state.all_total_count[0],
            free=len(requests) < consumer.pool.num_processes,
            queues=queues,
            problem=self._problem(now, queues, active),
        )

    def _problem(self, now: float, queues: list[str], active: set[Any]) -> str | None:
        if not queues:
            return "it takes no messages from any queue"
        waited = max((now - since for since in self._waiting_since.values()), default=0.0)
        if waited > START_S:
            return f"no process has started with a scan that came {waited:.0f} s ago"
        for request in active:
            runs_for = time.time() - request.time_start
            if runs_for > (request.task.time_limit or self._settings.time_limit_s) + OVERTIME_S:
                return f"a scan has run for {runs_for:.0f} s, which is over the time limit"
        return None
