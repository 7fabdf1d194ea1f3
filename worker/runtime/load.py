"""`celery inspect load`: how many processes a worker has, and which messages they work on."""

from __future__ import annotations

from typing import Any

from celery.worker import control
from celery.worker import state as worker_state

from worker.queue import NAME


@control.inspect_command()
def load(state: Any, **_: Any) -> dict[str, Any]:
    """Number of processes, and ids of the messages of scans that run."""
    running = sorted(each.id for each in tuple(worker_state.active_requests) if each.name == NAME)
    return {"processes": state.consumer.pool.num_processes, "running": running}
