"""`python -m worker health`: whether the worker of this machine lives, and whether it is ready.

A worker that does not live is to be restarted. A worker that is not ready is not: its broker, its storage or
its machine has to be mended, and all workers may have the same reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery
from kombu import Connection

from worker.broker.redis import Channel as RedisChannel
from worker.runtime.heartbeat import Heartbeat

# The main loop stops while Celery connects to a broker that is away, and runs for a moment in between.
STALE_S: Final = 30.0
# A free worker takes a message within a second, or five seconds after its broker had refused it.
LOOK_S: Final = 10.0
LOOK_EVERY_S: Final = 0.5
PROBE: Final = "pose:health"


class Unhealthy(Exception):
    """The worker does not do its work. The text is one line that says what is wrong."""


class BrokerUnusable(Unhealthy):
    """The broker is away or refuses to work. That is no fault of the worker."""


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


def check_alive(
    read: Callable[[], Heartbeat],
    count_waiting: Callable[[list[str]], int],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Heartbeat:
    """Return the last heartbeat of a worker that lives: its main loop turns, and it takes messages.

    This takes some seconds if the worker is free and messages wait.

    Args:
        read: returns the worker's last heartbeat.
        count_waiting: returns the number of messages in these queues, or raises BrokerUnusable.

    Raises:
        Unhealthy: the worker does not do its work, and its broker would let it.
    """
    first = latest = _fresh(read, clock)
    until = clock() + LOOK_S
    while latest.free and latest.queues and latest.taken == first.taken:
        try:
            messages = count_waiting(first.queues)
        except BrokerUnusable:
            return latest
        if not messages:
            return latest
        if clock() >= until:
            raise Unhealthy(f"{messages} messages wait in its queue, it is free and takes none")
        sleep(LOOK_EVERY_S)
        latest = _fresh(read, clock)
    return latest


def check_ready(
    heartbeat: Heartbeat,
    count_waiting: Callable[[list[str]], int],
    problem_of_services: Callable[[], str | None],
) -> None:
    """Return if a worker that lives can do scans.

    Args:
        heartbeat: its last one.
        count_waiting: as of `check_alive`.
        problem_of_services: returns what is wrong with the storages or Redis, or None.

    Raises:
        Unhealthy: it cannot.
    """
    if heartbeat.not_ready:
        raise Unhealthy(heartbeat.not_ready)
    count_waiting(heartbeat.queues)
    problem = problem_of_services()
    if problem:
        raise Unhealthy(problem)


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
    """Return the number of messages in these queues that a worker could take now.

    Raises:
        BrokerUnusable: the broker cannot be reached, or refuses to store anything.
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
            if isinstance(channel, RedisChannel):
                # A Redis that is full answers, and no worker can take a message from it.
                channel.client.set(PROBE, "", px=1000)
            waiting = sum(_length(connection, channel, queue) for queue in queues)
            if isinstance(channel, RedisChannel):
                _, due = channel.count_delayed(queues)
                waiting += due
            return waiting
    except redis.ResponseError as error:
        # Its text may hold an address, its first word is a code: OOM, READONLY, NOPERM.
        raise BrokerUnusable(f"the broker refuses to work: {str(error).partition(' ')[0]}") from None
    except (OSError, *connection.connection_errors) as error:
        raise BrokerUnusable(f"the broker cannot be reached: {type(error).__name__}") from None


def _length(connection: Connection, channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:  # Redis keeps no empty list
        return 0
