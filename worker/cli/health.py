"""`python -m worker health`: whether the worker of this machine does its work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from celery import Celery
from kombu import Connection

from worker.runtime.heartbeat import Sign

# The loop stands still while Celery reaches for a broker that is away, and a moment in between.
STALE_S: Final = 30.0
# A worker that is free takes a message within a second.
LOOK_S: Final = 6.0
LOOK_EVERY_S: Final = 0.5


class Unhealthy(Exception):
    """The worker does not do its work. The text says what is wrong, in a line."""


def read_sign(path: Path) -> Sign:
    """Raises: Unhealthy, when there is none."""
    try:
        return Sign(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise Unhealthy("it has not begun to take scans, or it has ended") from None
    except (OSError, ValueError, TypeError) as error:
        raise Unhealthy(f"its sign of life cannot be read: {type(error).__name__}") from None


def check(
    look: Callable[[], Sign],
    waiting: Callable[[list[str]], int],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when the worker does its work. That takes some seconds if it is free and messages wait.

    Args:
        look: gives its latest sign.
        waiting: gives the number of messages in these queues.

    Raises:
        Unhealthy: it does not.
    """
    first = _look(look, clock)
    until = clock() + LOOK_S
    latest = first
    while latest.free and latest.taken == first.taken:
        messages = waiting(first.queues)
        if not messages:
            return
        if clock() >= until:
            raise Unhealthy(f"{messages} messages wait in its queue, it is free and takes none")
        sleep(LOOK_EVERY_S)
        latest = _look(look, clock)


def _look(look: Callable[[], Sign], clock: Callable[[], float]) -> Sign:
    sign = look()
    age = clock() - sign.at
    if age < 0:
        raise Unhealthy("its sign of life is from before this machine started")
    if age > STALE_S:
        raise Unhealthy(f"its main loop has not turned for {age:.0f} s")
    if sign.problem:
        raise Unhealthy(sign.problem)
    return sign


def waiting_messages(app: Celery, queues: list[str]) -> int:
    """How many messages nobody has taken yet.

    Raises:
        Unhealthy: the broker cannot be reached.
    """
    connection: Connection = app.connection_for_read()
    # Not to hang in here: a command that takes too long is no answer.
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
    except connection.channel_errors:  # there is none: Redis keeps no list that is empty
        return 0
