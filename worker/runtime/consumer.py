"""The consumer of the worker: Celery's own, but a message that it cannot take goes to the dead list."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import redis
from celery.exceptions import NotRegistered
from celery.worker import consumer
from kombu.utils.json import dumps

from worker.broker.envelope import InvalidMessage, check_task
from worker.broker.redis import Channel
from worker.config.logs import get_logger
from worker.intake.task_call import parse_call
from worker.keys import InvalidRequest
from worker.queue import NAME
from worker.runtime.heartbeat import HeartbeatStep
from worker.scans.failures import ScanFailed

log = get_logger(__name__)

# Celery connects again at once, six times a second, and logs a traceback each time. A full Redis or a full
# disk may refuse for hours.
REFUSED_PAUSE_S: Final = 5.0


class Consumer(consumer.Consumer):
    """Reject each message that Celery cannot take: do not end with it, and do not log what was sent."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return the function that takes each message of the queue."""
        handle = super().create_task_handler(*args, **kwargs)

        def take(message: Any) -> None:
            try:
                task, task_args, task_kwargs = check_task(message)
                if task == NAME:
                    parse_call(task_args, task_kwargs)
            except InvalidMessage as error:
                self._reject(message, str(error))
                return
            except InvalidRequest as error:
                self._reject(message, str(error))
                self._store_failure(message, ScanFailed(str(error)))
                return
            if isinstance(message.channel, Channel) and message.channel.put_aside(message):
                return
            try:
                handle(message)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # `check_task` does not know everything that another Celery may read. Celery takes a KeyError
                # for a lost connection: without this, the message would come again and again.
                self._reject(message, f"Celery cannot take it: {type(error).__name__}")

        return take

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Celery calls this for a task that is not registered. Its own method logs the body."""
        self._reject(message, "there is no such task")
        self._store_failure(message, NotRegistered("there is no such task"))

    def ensure_connected(self, conn: Any) -> Any:
        """Celery calls this to connect, and waits in it. Meanwhile the main loop does not turn."""
        connect = conn.ensure_connection

        def ensure_connection(errback: Any, max_retries: Any, callback: Callable[[], None]) -> Any:
            def each_second() -> None:
                callback()
                self._write_heartbeat()

            return connect(errback, max_retries, callback=each_second)

        conn.ensure_connection = ensure_connection
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery calls this before it connects to the broker again."""
        refused = isinstance(exc, (redis.ResponseError, OSError))
        if refused and not isinstance(exc, (ConnectionError, TimeoutError)):
            log.error("broker_refuses", error=type(exc).__name__, pause_s=REFUSED_PAUSE_S)
            self._write_heartbeat()
            time.sleep(REFUSED_PAUSE_S)
        super().on_connection_error_after_connected(exc)

    def _write_heartbeat(self) -> None:
        step: HeartbeatStep | None = getattr(self, "heartbeat_step", None)
        if step is not None:
            step.write(self, not_ready="it has no connection to the broker")

    def _reject(self, message: Any, reason: str) -> None:
        queue = next(iter(self.app.amqp.queues.consume_from))
        if isinstance(message.channel, Channel):
            message.channel.send_to_dead_list(queue, reason, dumps(message._raw))
        else:
            log.error("message_refused", queue=queue, reason=reason)
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors)

    def _store_failure(self, message: Any, error: Exception) -> None:
        """Store the reason as the task's result, for a caller that waits for it."""
        headers = message.headers if "id" in message.headers else message.payload
        about = SimpleNamespace(name=headers["task"], chord=None, root_id=None, errbacks=None, reply_to=None)
        try:
            self.app.backend.mark_as_failure(headers["id"], error, request=about)
        except Exception as reason:  # each result store has errors of its own
            log.warning("result_not_stored", error=type(reason).__name__)
