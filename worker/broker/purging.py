"""Tell the application which messages were purged (`celery -A worker purge`), so that it can cancel them."""

from __future__ import annotations

from collections.abc import Callable

# Set by `worker.app`. It gets the messages as they were in the queue.
on_purge: Callable[[list[bytes]], None] | None = None


def is_task_queue(queue: str) -> bool:
    """Return whether a queue holds tasks, and not the events or answers of Celery.

    >>> is_task_queue("celery"), is_task_queue("celeryev.1234")
    (True, False)
    """
    return not queue.startswith("celeryev.") and not queue.endswith(".pidbox")


def tell_purged(messages: list[bytes]) -> None:
    """Hand purged messages to the application."""
    if on_purge is not None and messages:
        on_purge(messages)
