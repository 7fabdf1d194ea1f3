"""Which scans wait in the queue. A scan whose message waits is not lost, however long it waits."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import filesystem
from kombu.transport import redis as kombu_redis

from worker.broker.delayed import delayed_set
from worker.keys import SCAN_ID
from worker.queue import NAME

CHUNK: Final = 1000
# A worker that took a message and was killed keeps it so much longer than the visibility timeout at most.
RESTORE_S: Final = 60.0


@dataclass
class Waiting:
    """The scans that messages are there for.

    Attributes:
        queued: Ids of the scans whose message no worker has taken.
        taken: Ids of the scans whose message a worker has. It comes back if the worker dies.
    """

    queued: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)


def waiting_scans(app: Celery) -> Waiting:
    """Return the scans that wait in the queues of an app. None wait where the broker cannot be searched.

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached, or refuses.
    """
    try:
        return _search(app)
    except (redis.RedisError, OSError) as error:
        # Leave out the error's own text: it may contain an address.
        raise OperationalError(f"the queue cannot be read: {type(error).__name__}") from None


def _search(app: Celery) -> Waiting:
    found = Waiting()
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        if isinstance(channel, kombu_redis.Channel):
            keys = [channel._q_for_pri(q, p) for q in app.amqp.queues for p in channel.priority_steps]
            # Messages go from the delayed ones to the queue, from there to a worker, and back: the delayed
            # ones are read twice, so that none is missed on its way.
            for read in (_delayed, _entries):
                for key in keys:
                    found.queued.update(*map(scan_of, read(channel.client, key)))
            found.taken.update(*map(scan_of, messages_taken(channel)))
            for key in keys:
                found.queued.update(*map(scan_of, _delayed(channel.client, key)))
        elif isinstance(channel, filesystem.Channel):
            for queue in app.amqp.queues:
                for entry in _files(channel, queue):
                    found.queued.update(scan_of(entry))
    return found


def scan_of(entry: bytes | str) -> set[str]:
    """Return the id of the scan that a message asks to analyse, in a set; an empty one for other messages.

    >>> body = base64.b64encode(b'[[], {"scan_id": "scan-1"}, {}]').decode()
    >>> properties = {"body_encoding": "base64"}
    >>> scan_of(json.dumps({"headers": {"task": NAME}, "body": body, "properties": properties}))
    {'scan-1'}
    >>> scan_of("not a message")
    set()
    """
    try:
        message = json.loads(entry)
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        payload = json.loads(body)
        if isinstance(payload, dict):  # protocol 1
            task, args, kwargs = payload["task"], payload.get("args") or [], payload.get("kwargs") or {}
        else:
            task, (args, kwargs, *_) = message["headers"]["task"], payload
        arrival = args[0] if args else kwargs.get("arrival") or kwargs
        scan_id = arrival["scan_id"]
        return {scan_id} if task == NAME and SCAN_ID.fullmatch(scan_id) else set()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()  # a worker refuses it


def _entries(client: Any, key: str) -> Iterator[bytes]:
    """Yield the entries of a list. Some may come twice, none is missed that stays there."""
    # From the end where they are added: what comes meanwhile moves the others towards higher numbers.
    start = 0
    while entries := client.lrange(key, start, start + CHUNK - 1):
        yield from entries
        start += CHUNK


def _delayed(client: Any, key: str) -> Iterator[bytes]:
    """Yield the messages of a list whose time has not come."""
    yield from (entry for entry, _ in client.zscan_iter(delayed_set(key), count=CHUNK))


def messages_taken(channel: Any) -> Iterator[bytes]:
    """Yield the messages that workers have, of a channel of Redis. Leave out those that are overdue."""
    oldest = time.time() - channel.visibility_timeout - RESTORE_S
    index = channel.client.zrangebyscore(channel.unacked_index_key, oldest, "+inf")
    for start in range(0, len(index), CHUNK):
        for entry in channel.client.hmget(channel.unacked_key, index[start : start + CHUNK]):
            # Kombu keeps the message with the names of its exchange and of its routing key.
            if entry is not None:
                yield json.dumps(json.loads(entry)[0]).encode()


def messages_in_files(channel: Any, queue: str) -> list[str]:
    """Return the names of the files of the messages in a queue, of a channel of files."""
    folder = Path(cast("str", channel.data_folder_in))
    return [each.name for each in folder.glob("[!.]*.msg") if each.name.partition(".")[2] == f"{queue}.msg"]


def _files(channel: Any, queue: str) -> Iterator[bytes]:
    for name in messages_in_files(channel, queue):
        try:
            yield (Path(channel.data_folder_in) / name).read_bytes()
        except FileNotFoundError:  # a worker took it
            continue
