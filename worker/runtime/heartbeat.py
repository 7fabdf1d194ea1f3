"""The heartbeat of a worker: its main loop writes a file every two seconds, with what it sees of itself.

`python -m worker health` reads the file, and looks whether messages wait that the worker could take and does
not. The file is written as well while the processes load their models, and while the broker is away: the
worker lives then, and is not ready.
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
from worker.runtime.reports import condition

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
        problem: what is wrong with the worker itself, in words; None if nothing is. A restart may help.
        not_ready: why it cannot do scans at the moment, in words; None if it can.
    """

    at: float
    taken: int
    free: bool
    queues: list[str]
    problem: str | None = None
    not_ready: str | None = None


def heartbeat_file(settings: Settings, node: str | None) -> Path:
    """Return the file of the worker with this node name. None is Celery's default, `celery@%h`."""
    name = host_format(default_nodename(node))
    return settings.run_dir.absolute() / "health" / f"{quote(name, safe='@')}.json"


class HeartbeatFile:
    """The file of one worker, written by its parent process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False

    def write(self, heartbeat: Heartbeat) -> None:
        """Replace the file. If that fails, log it once."""
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

    def write_not_ready(self, reason: str) -> None:
        """Write that the worker lives and cannot take scans yet."""
        self.write(Heartbeat(time.monotonic(), 0, False, [], not_ready=reason))

    def remove(self) -> None:
        """Remove the file: a worker that has ended has no heartbeat."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


class HeartbeatStep(bootsteps.StartStopStep):
    """A step of Celery's consumer: writes the heartbeat."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._settings = load_settings()
        self._file = HeartbeatFile(heartbeat_file(self._settings, consumer.hostname))
        self._waiting_since: dict[str, float] = {}
        self._running_since: dict[Any, float] = {}
        consumer.heartbeat_step = self

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """See Celery."""
        hub.call_repeatedly(EVERY_S, self.write, consumer)
        hub.call_soon(self.write, consumer)

    def shutdown(self, consumer: Any) -> None:
        """Remove the file."""
        self._file.remove()

    def write(self, consumer: Any, not_ready: str | None = None) -> None:
        """Write the heartbeat.

        Args:
            consumer: Celery's consumer.
            not_ready: why the consumer has no connection; None if it has one.
        """
        self._file.write(self._heartbeat(consumer, not_ready))

    def _heartbeat(self, consumer: Any, not_ready: str | None) -> Heartbeat:
        now = time.monotonic()
        requests, active = tuple(state.reserved_requests), set(state.active_requests)
        # Counted from when a process was free: a message may wait for a long scan.
        waits = len(active) < consumer.pool.num_processes
        self._waiting_since = {
            each.id: self._waiting_since.get(each.id, now)
            for each in requests
            if waits and each not in active
        }
        # Not Celery's `time_start`: the clock may have been set since. Not by the id, which a retry keeps.
        self._running_since = {each: self._running_since.get(each, now) for each in active}
        tasks = consumer.task_consumer if not_ready is None else None
        queues = (
            []
            if tasks is None
            else [queue.name for queue in tasks.queues if tasks.consuming_from(queue.name)]
        )
        return Heartbeat(
            at=now,
            taken=state.all_total_count[0],
            free=len(requests) < consumer.pool.num_processes,
            queues=queues,
            problem=self._problem(now, active) or self._deaf(tasks, queues),
            not_ready=not_ready or condition.problem,
        )

    def _deaf(self, tasks: Any, queues: list[str]) -> str | None:
        # Without a connection, or in a pause, it takes none for a good reason.
        if tasks is None or queues or condition.problem:
            return None
        return "it takes no messages from any queue"

    def _problem(self, now: float, active: set[Any]) -> str | None:
        waited = max((now - since for since in self._waiting_since.values()), default=0.0)
        if waited > START_S:
            return f"a scan has waited for {waited:.0f} s although a process is free"
        for request in active:
            runs_for = now - self._running_since[request]
            if runs_for > (request.task.time_limit or self._settings.time_limit_s) + OVERTIME_S:
                return f"a scan has run for {runs_for:.0f} s, which is over the time limit"
        return None
