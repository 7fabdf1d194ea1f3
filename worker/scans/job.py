"""What a message asks a worker to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.keys import ScanId
from worker.scans.retry import RetryState


@dataclass(frozen=True)
class Job:
    """What a message asks for.

    Attributes:
        scan_id: The scan.
        task_id: Celery's id of the task.
        force: Analyse the scan again although it is completed.
        resent: The message was sent again because no worker seemed to have the scan. If the scan is finished
            by now, there is nothing to do.
        retry_state: What the message carries from earlier attempts.
    """

    scan_id: ScanId
    task_id: str | None = None
    force: bool = False
    resent: bool = False
    retry_state: RetryState = field(default_factory=RetryState)
