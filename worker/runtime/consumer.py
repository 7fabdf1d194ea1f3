"""Takes messages off the queue, as Celery's consumer does, and sets those aside that it could not take."""

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
from worker.scans.failures import ScanFailed

log = get_logger(__name__)

# A Redis that refuses a command, or a full disk under the queue in files, may do so for long. And where Redis
# is full, each look at the queue takes a message that is then not noted down; such a scan is sent again once
# its lease has run out.
REFUSED_PAUSE_S: Final = 5.0


class Consumer(consumer.Consumer):
    """A message that is not as Celery expects it ends neither the worker nor up in its log."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def take(message: Any) -> None:
            try:
                task, args, keywords = check_task(message)
                if task == NAME:
                    parse_call(args, keywords)
            except InvalidMessage as error:
                self._set_aside(message, str(error))
                return
            except InvalidRequest as error:
                self._set_aside(message, str(error))
                self._tell(message, ScanFailed(str(error)))
                return
            try:
                handle(message)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # Something that `check_task` does not know of. LookupError: a KeyError would count as a lost
                # connection, and the message would come again and again.
                self._set_aside(message, f"Celery cannot take it: {type(error).__name__}")

        return take

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        refused = isinstance(exc, (redis.ResponseError, OSError))
        if refused and not isinstance(exc, (ConnectionError, TimeoutError)):
            log.error("broker_refuses", error=type(exc).__name__, pause_s=REFUSED_PAUSE_S)
            time.sleep(REFUSED_PAUSE_S)
        super().on_connection_error_after_connected(exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._set_aside(message, "it calls no task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._set_aside(message, "Celery cannot take it as a call of a task")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._set_aside(message, "its body cannot be read as JSON")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._set_aside(message, "there is no such task")
        self._tell(message, NotRegistered("there is no such task"))

    def _tell(self, message: Any, error: Exception) -> None:
        """Whoever waits for the result of a message that was set aside gets the reason."""
        headers = message.headers if "id" in message.headers else message.payload
        about = SimpleNamespace(name=headers["task"], chord=None, root_id=None, errbacks=None, reply_to=None)
        try:
            self.app.backend.mark_as_failure(headers["id"], error, request=about)
        except Exception as reason:  # of any result store there is
            log.warning("result_not_stored", error=type(reason).__name__)

    def _set_aside(self, message: Any, reason: str) -> None:
        queue = next(iter(self.app.amqp.queues.consume_from))
        if isinstance(message.channel, Channel):
            message.channel.set_aside(queue, reason, dumps(message._raw))
        else:
            log.error("message_refused", queue=queue, reason=reason)
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors)
