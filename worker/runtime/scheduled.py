"""`celery inspect scheduled`: the tasks that are to begin later, also those that wait in Redis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from celery.worker import control

from worker.broker.redis import Channel

MAX_LISTED: Final = 100  # of those in Redis, the next ones; there may be many thousands

_in_memory = control.scheduled


@control.inspect_command(alias="dump_schedule")
def scheduled(state: Any, **_: Any) -> list[dict[str, Any]]:
    """List of currently scheduled ETA/countdown tasks. Each worker lists those that wait in Redis."""
    listed: list[dict[str, Any]] = list(_in_memory(state))
    tasks = state.consumer.task_consumer
    if isinstance(tasks.channel, Channel):
        queues = [queue.name for queue in tasks.queues]
        listed += [_described(*each) for each in tasks.channel.list_delayed(queues, MAX_LISTED)]
    return listed


def _described(due: float, message: dict[str, Any]) -> dict[str, Any]:
    headers = message["headers"]
    request = {
        "id": headers.get("id"),
        "name": headers.get("task"),
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "delivery_info": message["properties"]["delivery_info"],
        "hostname": None,  # no worker has it
    }
    eta = datetime.fromtimestamp(due, UTC).isoformat()
    return {"eta": eta, "priority": message["properties"].get("priority"), "request": request}
