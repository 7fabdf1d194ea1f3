"""What the worker's parent does when a process that works on a scan is gone.

It never waits for Redis: its one thread feeds all processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from worker.config.logs import get_logger
from worker.config.settings import load_settings
from worker.intake.task_call import scan_id_of
from worker.keys import InvalidRequest, ScanId
from worker.ledger.base import Ledger, LedgerError, is_alive, lock_owner
from worker.ledger.opening import open_ledger
from worker.scans.failures import TOO_LONG

log = get_logger(__name__)

DEATH_S: Final = 10.0  # in which a process that is killed is gone

Note = Callable[[Ledger, ScanId], None]


class ScanRequest(Request):
    """A message for `process_scan`.

    Over the hard time limit the scan is set aside, and the message goes back into the queue: whoever takes it
    next finds that, and writes that the scan has failed. Celery would call the task failed and forget it.
    """

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """See Celery. The answer to a hard time limit is given by the next process."""
        if soft or state.should_terminate:
            super().on_timeout(soft, timeout)
        else:
            log.error("scan_took_too_long", task_id=self.id, seconds=timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """See Celery."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TimeLimitExceeded) and not state.should_terminate:
            state.task_ready(self)
            self._beside(lambda ledger, scan_id: ledger.quarantine(scan_id, TOO_LONG))
            self.reject(requeue=True)
            return
        if isinstance(error, WorkerLostError):
            self._beside(None)
        super().on_failure(exc_info, send_failed_event, return_ok)

    def _beside(self, note: Note | None) -> None:
        """Note something, and let go of the lock once its process is gone."""
        try:
            scan_id = scan_id_of(*self._named())
        except InvalidRequest:
            return
        settings = load_settings()
        if settings.redis_url:
            about = (open_ledger(settings), scan_id, self.worker_pid, note)
            threading.Thread(target=_after_death, args=about, daemon=True).start()
        elif note is not None:
            # Not in a thread: a process that is forked while the file is locked would find it locked for
            # ever. The lock of a dead process counts for nothing there.
            _quietly(lambda: note(open_ledger(settings), scan_id))

    def _named(self) -> tuple[Any, Any]:
        arguments = self._args or [None]
        return arguments[0], (self._kwargs or {}).get("scan_id")


def _after_death(ledger: Ledger, scan_id: ScanId, pid: int | None, note: Note | None) -> None:
    if note is not None:
        _quietly(lambda: note(ledger, scan_id))
    if pid is None:
        return
    deadline = time.monotonic() + DEATH_S
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not is_alive(pid):
        _quietly(lambda: ledger.release_lock(scan_id, lock_owner(pid)))


def _quietly(step: Callable[[], None]) -> None:
    """A lock ends by itself, and each death is counted: the scan comes to an end all the same."""
    try:
        step()
    except LedgerError as error:
        log.warning("ledger_not_told", reason=str(error))
