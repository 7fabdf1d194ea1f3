"""Tell what would keep scans from being analysed: no files, or a queue that no worker takes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError

from worker.keys import ScanId
from worker.storage.base import Storage, StorageError

ANSWER_S: Final = 1.0  # how long workers may take to say which queues they take from
LOOKED_FOR: Final = 1000  # scans whose files are looked for, with a call of the storage for each
THREADS: Final = 8
TOLD: Final = 10  # scans without files that are named; the others are counted
_QUESTIONS: Final[tuple[dict[str, Any], ...]] = (
    # The first answer is mostly enough, and comes at once.
    {"reply": True, "timeout": ANSWER_S, "limit": 1},
    {"reply": True, "timeout": ANSWER_S},
)


def warnings_about(
    app: Celery, queue: str, scans: Storage, scan_ids: Sequence[ScanId], count: int | None = None
) -> Iterator[str]:
    """Yield a text for each reason why scans in the queue may not be analysed soon.

    Args:
        app: Asks the workers. A worker that still loads its model does not answer.
        queue: The name of the queue that the scans wait in.
        scans: Storage of scans.
        scan_ids: The scans, or the first ones.
        count: How many scans there are, if there are more.
    """
    yield from _about_files(scans, scan_ids[:LOOKED_FOR])
    unknown = (len(scan_ids) if count is None else count) - len(scan_ids[:LOOKED_FOR])
    if unknown > 0:
        yield f"files were looked for of the first {LOOKED_FOR} scans only, not of {unknown} more"
    if not is_served(app, queue):
        yield (
            f"no worker answers that takes scans from the queue {queue}; they wait there. Start one, with"
            " the same CELERY_BROKER_URL and QUEUE: celery -A worker worker"
        )


def _about_files(scans: Storage, scan_ids: Sequence[ScanId]) -> Iterator[str]:
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(lambda scan_id: scans.objects(scan_id, 1), scan_ids))
    except StorageError as error:
        yield f"the files of the scans cannot be looked for: {error}"
        return
    missing = [scan_id for scan_id, files in zip(scan_ids, found, strict=True) if not files]
    for scan_id in missing[:TOLD]:
        yield f"{scan_id}: SCANS_URL has no files of this scan. Check the id, or upload them"
    if len(missing) > TOLD:
        yield f"SCANS_URL has no files of {len(missing) - TOLD} more of these scans"


def is_served(app: Celery, queue: str) -> bool:
    """Return whether a worker answers that takes messages from a queue."""
    try:
        return any(_serves(app.control.broadcast("active_queues", **asked), queue) for asked in _QUESTIONS)
    except (OperationalError, OSError):
        return False


def _serves(answers: list[dict[str, Any]], queue: str) -> bool:
    """Return whether one of the workers takes from the queue.

    >>> _serves([{"celery@host": [{"name": "celery"}]}], "celery"), _serves([], "celery")
    (True, False)
    """
    return any(
        isinstance(queues, list) and any(each["name"] == queue for each in queues)
        for answer in answers
        for queues in answer.values()
    )
