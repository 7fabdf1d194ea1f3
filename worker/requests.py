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

from worker.failures import TOO_LONG
from worker.ledger import Ledger, LedgerError, is_alive, open_ledger, owner_of
from worker.logs import get_logger
from worker.messages import InvalidArrival, scan_id_of
from worker.settings import load_settings

log = get_logger(__name__)

DEATH_S: Final = 10.0  # in which a process that is killed is gone


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
            self._beside(lambda ledger, scan_id: ledger.set_aside(scan_id, TOO_LONG))
            self.reject(requeue=True)
            return
        if isinstance(error, WorkerLostError):
            self._beside(None)
        super().on_failure(exc_info, send_failed_event, return_ok)

    def _beside(self, note: Callable[[Ledger, str], None] | None) -> None:
        """Note something, and let go of the lock once its process is gone, in a thread."""
        try:
            scan_id = scan_id_of(*self._named())
        except InvalidArrival:
            return
        pid = self.worker_pid
        threading.Thread(target=_after_death, args=(scan_id, pid, note), daemon=True).start()

    def _named(self) -> tuple[Any, Any]:
        arguments = self._args or [None]
        return arguments[0], (self._kwargs or {}).get("scan_id")


def _after_death(scan_id: str, pid: int | None, note: Callable[[Ledger, str], None] | None) -> None:
    try:
        ledger = open_ledger(load_settings())
        if note is not None:
            note(ledger, scan_id)
        deadline = time.monotonic() + DEATH_S
        while pid is not None and is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if pid is not None and not is_alive(pid):
            ledger.free(scan_id, owner_of(pid))
    except LedgerError as error:
        # The lock ends by itself, and each death is counted: it comes to an end all the same.
        log.warning("ledger_not_told", scan_id=scan_id, reason=str(error))
