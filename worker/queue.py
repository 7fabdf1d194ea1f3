"""The name of the task and its messages, for all code that puts scans into the queue.

Sending needs only the name. So no sender imports the task, with everything that the task imports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.utils.uuid import uuid

from worker.keys import ScanId
from worker.tracing import trace_headers

NAME: Final = "worker.process_scan"
SENT_AT: Final = "pose_sent_at"  # header of a message: seconds of the epoch; a retry keeps it

# Takes the keyword arguments of a message.
Send = Callable[[dict[str, object]], object]
# Takes those of many messages.
SendBatch = Callable[[Iterable[dict[str, object]]], None]


def message(scan_id: ScanId, *, force: bool = False, resent: bool = False) -> dict[str, object]:
    """Return the keyword arguments of a message to `worker.process_scan`.

    >>> message(ScanId("scan-1"), force=True)
    {'scan_id': 'scan-1', 'force': True}
    """
    flags = {"force": force, "resent": resent}
    return {"scan_id": scan_id, **{name: True for name, value in flags.items() if value}}


def sender(app: Celery) -> Send:
    """Return a function that puts a message into the queue of an app.

    The function raises kombu.exceptions.OperationalError if it cannot reach the broker.
    """

    def send(keywords: dict[str, object]) -> object:
        return app.send_task(NAME, kwargs=keywords, headers={SENT_AT: time.time(), **trace_headers()})

    return send


def batch_sender(app: Celery) -> SendBatch:
    """Return a function that puts messages into the queue of an app, into Redis with one command for many.

    It makes the messages that `send_task` makes, in a third of the time. No event `task-sent` is sent for
    them: Flower keeps only some thousand tasks.

    The function raises kombu.exceptions.OperationalError if it cannot reach the broker. Some of the messages
    may be in the queue then.
    """

    def send(messages: Iterable[dict[str, object]]) -> None:
        headers = {SENT_AT: time.time(), **trace_headers()}
        with app.producer_pool.acquire(block=True) as producer:
            connection = producer.connection
            try:
                producer.maybe_declare(app.amqp.default_queue)
                with producer.batch():
                    for keywords in messages:
                        task = app.amqp.create_task_message(
                            uuid(), NAME, (), keywords, argsrepr="()", kwargsrepr=repr(keywords)
                        )
                        # A batch that failed is not tried again: part of it may be in the queue.
                        app.amqp.send_task_message(
                            producer, NAME, task, headers=headers, declare=[], retry=False
                        )
            except (BatchPublishError, *connection.connection_errors, *connection.channel_errors) as error:
                raise OperationalError(type(error.__cause__ or error).__name__) from None

    return send
