"""Celery's broker on Redis. It puts entries that are not messages on the dead list; kombu's own would end.

It reads and writes the same lists as `kombu.transport.redis`. An entry has left its list before its size can
be checked, so an entry that is too large is in memory once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis as redis_py
from kombu.transport import redis

from worker.broker.dead_letters import add_dead_letter
from worker.broker.envelope import InvalidMessage, check_envelope
from worker.broker.purging import is_task_queue, tell_purged
from worker.config.logs import get_logger

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
    """Check each entry before kombu sees it."""

    QoS = QoS
    max_message_bytes: int | None = None
    from_transport_options = (*redis.Channel.from_transport_options, "max_message_bytes")  # type: ignore[assignment]

    def send_to_dead_list(self, queue: str, reason: str, entry: bytes | str) -> None:
        """Put an entry on the queue's dead list. It is lost if Redis is away."""
        log.error("message_refused", queue=queue, reason=reason)
        try:
            with self.conn_or_acquire() as client:
                add_dead_letter(client, queue, reason, entry)
        except (redis_py.RedisError, OSError) as error:
            log.error("message_not_kept", queue=queue, error=type(error).__name__)

    def _purge(self, queue: str) -> int:
        """See kombu. Take the messages away in one step, so that no worker has one that is told as purged."""
        messages: list[bytes] = []
        with self.conn_or_acquire() as client:
            for key in {self._q_for_pri(queue, priority) for priority in self.priority_steps}:
                with client.pipeline(transaction=True) as transaction:
                    transaction.lrange(key, 0, -1)
                    transaction.delete(key)
                    messages += transaction.execute()[0]
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
