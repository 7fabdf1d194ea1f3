"""One look at what waits and runs, over all workers. It counts, and reads no person's data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final, cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis

from worker.broker.dead_letters import dead_list
from worker.broker.delayed import delayed_set
from worker.broker.waiting import messages_in_files, messages_taken
from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.intake.inbox import debounced_key, work_list
from worker.ledger.base import BEAT
from worker.ledger.opening import open_ledger
from worker.queue import NAME, SENT_AT

ASK_S: Final = 1.0  # time for the workers to answer
MAX_READ: Final = 1000  # messages that are read in one place to find the oldest


class Place(StrEnum):
    """Where scans wait."""

    LIST = "list"  # of the queue
    DELAYED = "delayed"  # messages that are to come later: retries
    UNACKED = "unacked"  # a worker has the message, and does not work on it
    ARRIVALS = "arrivals"  # entries of ARRIVALS_LIST; each names one scan or more
    SETTLING = "settling"  # announced by S3; more files may come


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        waiting: Number of waiting scans by place.
        oldest_s: Seconds since the oldest waiting message was sent. 0 if nothing waits in the queue, None if
            no message that waits there says when it was sent.
        running: Number of scans that are worked on.
        processes: Number of processes of all workers that answered.
        workers: Number of workers that answered.
        dead: Number of entries that could not be read, by list: `queue` and `arrivals`.
        quarantined: Number of scans in quarantine.
        beat_seen: Whether a beat ran within the last `LOCK_TTL_S`.
    """

    waiting: dict[Place, int]
    oldest_s: float | None
    running: int
    processes: int
    workers: int
    dead: dict[str, int]
    quarantined: int
    beat_seen: bool

    @property
    def load(self) -> float:
        """(waiting + running) / processes: infinite if something waits and no process is there.

        >>> Look({Place.LIST: 5}, 1.0, 1, 2, 1, {}, 0, True).load
        3.0
        >>> Look({Place.ARRIVALS: 1}, 0.0, 0, 0, 0, {}, 0, True).load
        inf
        """
        scans = sum(self.waiting.values()) + self.running
        if self.processes:
            return scans / self.processes
        return float("inf") if scans else 0.0


@dataclass(frozen=True)
class Queue:
    """Messages of the broker: numbers by place, and when the messages that were read were sent."""

    counts: dict[Place, int]
    sent_at: list[float | None]
    dead: int = 0


def look(app: Celery, settings: Settings) -> Look:
    """Look at queue, inbox, ledger and workers. This takes a second: the workers have so long to answer.

    Raises:
        kombu.exceptions.OperationalError: The broker or the Redis of the inbox cannot be used.
        LedgerError: The ledger cannot be used.
    """
    try:
        answers = app.control.inspect(timeout=ASK_S)._request("load") or {}
        running = {each for answer in answers.values() for each in answer.get("running", ())}
        queue = _queue(app, running)
        inbox, dead_arrivals = _inbox(settings)
    except (redis.RedisError, OSError) as error:
        # Leave out the error's own text: it may contain an address.
        raise OperationalError(f"the queue cannot be read: {type(error).__name__}") from None
    ledger = open_ledger(settings)
    return Look(
        waiting={place: (queue.counts | inbox).get(place, 0) for place in Place},
        oldest_s=_age(queue.sent_at),
        running=len(running),
        processes=sum(answer.get("processes", 0) for answer in answers.values()),
        workers=len(answers),
        dead={"queue": queue.dead, "arrivals": dead_arrivals},
        quarantined=ledger.count_quarantined(),
        beat_seen=ledger.is_locked(BEAT),
    )


def sent_at_of(entry: bytes | str) -> tuple[str | None, float | None]:
    """Return the id of the message of a scan, and when it was sent. Both are None for other messages.

    >>> sent_at_of('{"headers": {"task": "worker.process_scan", "id": "a", "pose_sent_at": 5.0}}')
    ('a', 5.0)
    >>> sent_at_of("not a message")
    (None, None)
    """
    try:
        headers = json.loads(entry)["headers"]
        if headers["task"] != NAME:
            return None, None
        sent = headers.get(SENT_AT)
        # A time in the far future or past is no time that somebody sent it at.
        known = isinstance(sent, (int, float)) and 0 < sent <= time.time() + 60
        return str(headers["id"]), float(sent) if known else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None, None


def _age(sent_at: list[float | None]) -> float | None:
    known = [each for each in sent_at if each is not None]
    if known:
        return max(0.0, time.time() - min(known))
    return None if sent_at else 0.0


def _queue(app: Celery, running: set[str]) -> Queue:
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        if isinstance(channel, kombu_redis.Channel):
            return _redis_queue(app, channel, running)
        names = [each for queue in app.amqp.queues for each in messages_in_files(channel, queue)]
        return Queue({Place.LIST: len(names)}, [_file_time(each) for each in names])


def _redis_queue(app: Celery, channel: Any, running: set[str]) -> Queue:
    client = channel.client
    keys = [channel._q_for_pri(q, p) for q in app.amqp.queues for p in channel.priority_steps]
    listed, later, sent_at = 0, 0, []
    for key in keys:
        listed += client.llen(key)
        later += client.zcard(delayed_set(key))
        # The right end of a list is its front: the oldest, and retries that are due.
        sent_at += _times(client.lrange(key, -MAX_READ, -1), set())
        sent_at += _times(client.zrange(delayed_set(key), 0, MAX_READ - 1), set())
    taken = _times(islice(messages_taken(channel), MAX_READ), running)
    counts = {Place.LIST: listed, Place.DELAYED: later, Place.UNACKED: len(taken)}
    return Queue(counts, sent_at + taken, sum(client.llen(dead_list(queue)) for queue in app.amqp.queues))


def _times(entries: Iterable[bytes], without: set[str]) -> list[float | None]:
    found = map(sent_at_of, entries)
    return [sent for identity, sent in found if identity is not None and identity not in without]


def _file_time(name: str) -> float | None:
    """Return when a message in a file was sent, from the start of its name: milliseconds of the epoch."""
    milliseconds = name.partition("_")[0]
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else None


def _inbox(settings: Settings) -> tuple[dict[Place, int], int]:
    name = settings.arrivals_list
    if name is None or settings.redis_url is None:
        return {}, 0
    with open_redis(settings.redis_url) as client, client.pipeline() as transaction:
        transaction.llen(name)
        transaction.llen(work_list(name))
        transaction.zcard(debounced_key(name))
        transaction.llen(dead_list(name))
        entries, work, settling, dead = cast("list[int]", transaction.execute())
    return {Place.ARRIVALS: entries + work, Place.SETTLING: settling}, dead
