"""The name of the task and its messages, for all code that puts scans into the queue.

Sending needs only the name. So no sender imports the task, with everything that the task imports.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from celery import Celery

from worker.keys import ScanId

NAME: Final = "worker.process_scan"
SENT_AT: Final = "pose_sent_at"  # header of a message: seconds of the epoch; a retry keeps it

# Takes the keyword arguments of a message.
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

    The function raises kombu.exceptions.OperationalError if it cannot reach the broker.
    """
    return lambda keywords: app.send_task(NAME, kwargs=keywords, headers={SENT_AT: time.time()})
