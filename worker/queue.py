"""The task's name and its messages, for all who put scans into the queue.

Sending needs the name alone. So nobody who sends imports the task, and with it all that the task imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from celery import Celery

from worker.keys import ScanId

NAME: Final = "worker.process_scan"

# Called with the keyword arguments of a message.
Send = Callable[[dict[str, object]], object]


def message(scan_id: ScanId, *, force: bool = False, resent: bool = False) -> dict[str, object]:
    """Return the keyword arguments of a message to `worker.process_scan`.

    >>> message(ScanId("scan-1"), force=True)
    {'scan_id': 'scan-1', 'force': True}
    """
    flags = {"force": force, "resent": resent}
    return {"scan_id": scan_id, **{name: True for name, value in flags.items() if value}}


def sender(app: Celery) -> Send:
    """Return a function that puts a message into the queue of an app.

    The function raises kombu.exceptions.OperationalError when the broker is away.
    """
    return lambda keywords: app.send_task(NAME, kwargs=keywords)
