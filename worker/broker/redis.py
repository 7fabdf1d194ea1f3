"""Celery's broker on Redis. It puts entries that are not messages on the dead list; kombu's own would end.

It reads and writes the same lists as `kombu.transport.redis`. An entry has left its list before its size can
be checked, so an entry that is too large is in memory once. A message that is to come later waits in a sorted
set (`worker.broker.delayed`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import redis as redis_py
from kombu.transport import redis
from kombu.utils.json import dumps

from worker.broker.dead_letters import add_dead_letter
from worker.broker.delayed import (
    add_delayed,
    as_delayed,
    count_delayed,
    delayed_set,
    eta_of,
    give_back,
    list_delayed,
    move_due,
)
from worker.broker.envelope import InvalidMessage, check_envelope
from worker.broker.purging import is_task_queue, tell_purged
from worker.config.logs import get_logger
from worker.counters import count

log = get_logger(__name__)


class QoS(redis.QoS):
    """Stop counting a message when Redis refuses its acknowledgement.

    Kombu would count it as unfinished for ever, and the worker would wait for it and take no other message.
    Redis still has the message, and delivers it again after the visibility timeout.
    """

    def ack(self, delivery_tag: str) -> None:
        """See kombu."""
        try:
            super().ack(delivery_tag)
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """See kombu."""
        try:
            super().reject(delivery_tag, requeue)
        finally:
            self._quick_ack(delivery_tag)


class Channel(redis.Channel):
    """Check each entry before kombu sees it, and keep messages that are to come later in Redis."""

    QoS = QoS
    max_message_bytes: int | None = None
    from_transport_options = (*redis.Channel.from_transport_options, "max_message_bytes")  # type: ignore[assignment]

    def send_to_dead_list(self, queue: str, reason: str, entry: bytes | str) -> None:
        """Put an entry on the queue's dead list. It is lost if Redis is away."""
        log.error("message_refused", queue=queue, reason=reason)
        try:
            with self.conn_or_acquire() as client:
                add_dead_letter(client, queue, reason, entry)
            count("pose_refused_entries", "queue")
        except (redis_py.RedisError, OSError) as error:
            log.error("message_not_kept", queue=queue, error=type(error).__name__)

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        """See kombu. A message with an `eta` waits in the sorted set of its list."""
        eta = eta_of(message.get("headers"))
        # Kombu sends a batch in one pipeline. Such a message is put aside by the worker that receives it.
        if eta is None or eta <= time.time() or options.get("_publish_batch") is not None:
            super()._put(queue, message, **options)
            return
        with self.conn_or_acquire() as client:
            add_delayed(client, self._list_of(queue, message), eta, dumps(as_delayed(message)))

    def put_aside(self, message: Any) -> bool:
        """Put a received message into the sorted set of its list, if its `eta` has not come.

        Args:
            message: Kombu's, which this channel has delivered. If its time has come, its `eta` is removed,
                and Celery begins with it at once.

        Returns:
            Whether the message was put aside, and is no longer this worker's.

        Raises:
            redis.RedisError: Redis is away, or refuses it. The worker still has the message.
        """
        # A message of Celery's first protocol has its times in its body.
        eta = eta_of(message.headers if "eta" in message.headers else message.payload)
        if eta is None:
            return False
        raw = message._raw
        info = raw["properties"]["delivery_info"]
        queues = self._lookup(info["exchange"], info["routing_key"])
        key = self._list_of(next((each for each in queues if each in self.active_queues), queues[0]), raw)
        unacked = (self.unacked_key, self.unacked_index_key)
        with self.conn_or_acquire() as client:
            if give_back(client, unacked, message.delivery_tag, key, eta, dumps(as_delayed(raw))):
                message.ack()
                return True
        message.headers["eta"] = None
        return False

    def move_due(self, queues: Iterable[str]) -> int:
        """Move the messages of these queues whose time has come to the front. Return their number."""
        with self.conn_or_acquire() as client:
            return move_due(client, self._lists_of(queues))

    def count_delayed(self, queues: Iterable[str]) -> tuple[int, int]:
        """Return the number of messages of these queues that are to come later, and of those that are due."""
        with self.conn_or_acquire() as client:
            return count_delayed(client, self._lists_of(queues))

    def list_delayed(self, queues: Iterable[str], limit: int) -> list[tuple[float, dict[str, Any]]]:
        """Return the messages of these queues that come next, each with its time in seconds of the epoch."""
        with self.conn_or_acquire() as client:
            found = list_delayed(client, self._lists_of(queues), limit)
        messages = []
        for due, entry in found:
            with suppress(InvalidMessage):  # It goes to the dead list when its time has come.
                messages.append((due, check_envelope(entry)))
        return messages

    def _list_of(self, queue: str, message: dict[str, Any]) -> str:
        return str(self._q_for_pri(queue, self._get_message_priority(message, reverse=False)))

    def _lists_of(self, queues: Iterable[str]) -> list[str]:
        """Return the lists of queues: one for each priority."""
        return [self._q_for_pri(queue, priority) for queue in queues for priority in self.priority_steps]

    def _purge(self, queue: str) -> int:
        """See kombu. Take the messages away in one step, so that no worker has one that is told as purged."""
        messages: list[bytes] = []
        with self.conn_or_acquire() as client:
            for key in self._lists_of([queue]):
                with client.pipeline(transaction=True) as transaction:
                    transaction.lrange(key, 0, -1)
                    transaction.zrange(delayed_set(key), 0, -1)
                    transaction.delete(key, delayed_set(key))
                    waiting, delayed, _ = transaction.execute()
                    messages += [*waiting, *delayed]
        if is_task_queue(queue):
            tell_purged(messages)
        return len(messages)

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        if asynchronous:
            client.parse_response = self._checked(client.parse_response)
        return client

    def _checked(self, parse_response: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `parse_response` that returns None, as if nothing came, for a bad entry."""

        def parse(connection: Any, command: str, **options: Any) -> Any:
            answer = parse_response(connection, command, **options)
            if command != "BRPOP" or not answer:
                return answer
            key, entry = answer
            queue = key.decode().rsplit(self.sep, 1)[0]
            # Events and answers to `inspect` have no limit.
            limit = self.max_message_bytes if is_task_queue(queue) else None
            try:
                check_envelope(entry, limit)
            except InvalidMessage as error:
                self.send_to_dead_list(queue, str(error), entry)
                return None
            return answer

        return parse


class Transport(redis.Transport):
    """The transport behind `redis://` and `rediss://`, see `worker.app`.

    Treat an error from Redis as a lost connection. Redis is full, has become a replica, or has taken rights
    away. Kombu treats it as an error of the command, and the worker would end.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, redis_py.ResponseError)


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same on the master that sentinels name."""

    from_transport_options = (*redis.SentinelChannel.from_transport_options, "max_message_bytes")  # type: ignore[assignment]


class SentinelTransport(Transport, redis.SentinelTransport):
    """The transport behind `sentinel://`. After a failover it connects to the new master."""

    Channel = SentinelChannel
    default_port = redis.SentinelTransport.default_port
