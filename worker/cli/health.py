"""`python -m worker health`: whether the worker of this machine does its work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from celery import Celery
from kombu import Connection

from worker.runtime.heartbeat import Heartbeat

# The main loop stops while Celery connects to a broker that is away, and runs for a moment in between.
STALE_S: Final = 30.0
# A free worker takes a message within a second.
LOOK_S: Final = 6.0
LOOK_EVERY_S: Final = 0.5


class Unhealthy(Exception):
    """The worker does not do its work. The text is one line that says what is wrong."""


def read_heartbeat(path: Path) -> Heartbeat:
    """Return the worker's last heartbeat.

    Raises:
        Unhealthy: there is none, or it cannot be read.
    """
    try:
        return Heartbeat(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise Unhealthy("it has not begun to take scans, or it has ended") from None
    except (OSError, ValueError, TypeError) as error:
        raise Unhealthy(f"its heartbeat cannot be read: {type(error).__name__}") from None


def check_worker(
    read: Callable[[], Heartbeat],
    count_waiting: Callable[[list[str]], int],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return if the worker does its work. This takes some seconds if the worker is free and messages wait.

    Args:
        read: returns the worker's last heartbeat.
        count_waiting: returns the number of messages in these queues.

    Raises:
        Unhealthy: the worker does not do its work.
    """
    first = latest = _fresh(read, clock)
    until = clock() + LOOK_S
    while latest.free and latest.taken == first.taken:
        messages = count_waiting(first.queues)
        if not messages:
            return
        if clock() >= until:
            raise Unhealthy(f"{messages} messages wait in its queue, it is free and takes none")
        sleep(LOOK_EVERY_S)
        latest = _fresh(read, clock)


def _fresh(read: Callable[[], Heartbeat], clock: Callable[[], float]) -> Heartbeat:
    heartbeat = read()
    age = clock() - heartbeat.at
    if age < 0:
        raise Unhealthy("its heartbeat is from before this machine started")
    if age > STALE_S:
        raise Unhealthy(f"its main loop has not turned for {age:.0f} s")
    if heartbeat.problem:
        raise Unhealthy(heartbeat.problem)
    return heartbeat


def waiting_messages(app: Celery, queues: list[str]) -> int:
    """Return the number of messages in these queues that no worker has taken yet.

    Raises:
        Unhealthy: the broker cannot be reached.
    """
    connection: Connection = app.connection_for_read()
    # A broker that does not answer within seconds counts as one that is away.
    connection.transport_options = {
        **(connection.transport_options or {}),
        "socket_connect_timeout": 3.0,
        "socket_timeout": 3.0,
    }
    try:
        with connection, connection.channel() as channel:
            return sum(_length(connection, channel, queue) for queue in queues)
    except (OSError, *connection.connection_errors) as error:
        raise Unhealthy(f"the broker cannot be reached: {type(error).__name__}") from None


def _length(connection: Connection, channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:  # Redis keeps no empty list
        return 0
