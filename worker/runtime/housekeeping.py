"""Remove what is left in files: expired results of Celery, and drafts of processes that were killed.

Redis and S3 need none of this: results in Redis expire by themselves, and S3 has no half-written objects.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

from celery import bootsteps
from celery.backends.filesystem import FilesystemBackend
from celery.worker.components import Pool

from worker.config.celery import broker_folders
from worker.config.logs import get_logger
from worker.config.settings import Settings, load_settings
from worker.config.urls import FileUrl, parse_storage_url
from worker.storage.local import LocalStorage

log = get_logger(__name__)

EVERY_S: Final = 3600.0
LEFT_AFTER_S: Final = 3600.0  # nobody writes a file or takes a message for so long
# A scan is worked on for a day at most, and its status.json changes its folder. So a draft is in a folder
# that was changed lately, or before this worker started.
CHANGED_WITHIN_S: Final = 2 * 86_400.0
CHANGED_BEFORE_S: Final = 30 * 86_400.0
STOP_TIMEOUT_S: Final = 1.0


def clean_up(settings: Settings, backend: Any, changed_within_s: float = CHANGED_BEFORE_S) -> int:
    """Remove expired results and old drafts in files. Return the number of drafts.

    Args:
        settings: Of this process.
        backend: Celery's result store.
        changed_within_s: Look for drafts only in folders of scans that were changed within so many seconds.

    Raises:
        OSError: A folder cannot be used.
    """
    if isinstance(backend, FilesystemBackend):
        backend.cleanup()
    removed = 0
    if settings.broker_url.startswith("filesystem://"):
        messages, _ = broker_folders(settings)
        # Drafts, and messages of a process that was killed while it took them.
        removed += _remove_old(messages, ".*-*.msg")
    results = parse_storage_url(settings.results_url)
    if isinstance(results, FileUrl):
        storage = LocalStorage(results.path, "the storage of results", True)
        removed += storage.remove_drafts(LEFT_AFTER_S, changed_within_s)
    return removed


def _remove_old(folder: Path, pattern: str) -> int:
    removed = 0
    for path in folder.glob(pattern):
        try:
            if path.stat().st_mtime < time.time() - LEFT_AFTER_S:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


class HousekeepingStep(bootsteps.StartStopStep):
    """Cleans up at the start of a worker and once an hour, in a thread of its parent process."""

    requires = (Pool,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._app = worker.app
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def include_if(self, worker: Any) -> bool:
        settings = load_settings()
        urls = (settings.broker_url, settings.result_backend, settings.results_url)
        return any(url.startswith(("file://", "filesystem://")) for url in urls)

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stop.set()
        self._thread.join(timeout=STOP_TIMEOUT_S)

    def _run(self) -> None:
        settings = load_settings()
        changed_within_s = CHANGED_BEFORE_S
        while True:
            try:
                removed = clean_up(settings, self._app.backend, changed_within_s)
                changed_within_s = CHANGED_WITHIN_S
                log.info("cleaned_up", removed=removed)
            except Exception as error:  # only this thread cleans up, so it must not end
                log.warning("not_cleaned_up", error=type(error).__name__)
            if self._stop.wait(EVERY_S):
                return
