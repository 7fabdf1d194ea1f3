"""What the worker's parent process does when the process of a scan was killed, or ends by itself."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state
from celery.worker.request import Request
from kombu.exceptions import OperationalError

from worker.config.logs import get_logger
from worker.config.settings import load_settings
from worker.counters import count
from worker.intake.task_call import scan_id_of
from worker.keys import InvalidRequest, ScanId
from worker.ledger.base import LedgerError, process_name
from worker.ledger.opening import open_ledger
from worker.queue import message, sender
from worker.scans.failures import ALIKE, TOO_LONG

log = get_logger(__name__)


class ScanRequest(Request):
    """A message for `process_scan`.

    Over the hard time limit, record that the scan failed in that process, and put the message back into the
    queue. After two processes, quarantine the scan: the next one finds the quarantine and writes `failed`.
    Celery alone would drop the message. Reconcile would send the scan again after its lease, and again, until
    it had killed `MAX_DEATHS` processes.

    Cancel a scan that is revoked or terminated (`worker.scans.cancel`). Celery alone would leave its status,
    and reconcile would send it again.

    Put the message back as well if the process ends itself (`ProcessEnds`), or if it had no memory even for
    Celery's own work. Celery alone would acknowledge the first, and end the worker for the second.
    """

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Celery calls this when a time limit is reached. Leave the hard limit to `on_failure`."""
        if soft or state.should_terminate:
            super().on_timeout(soft, timeout)
        else:
            log.error("scan_took_too_long", task_id=self.id, seconds=timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Celery calls this when a task has failed, or when its process was killed."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        _count_crash(error)
        if isinstance(error, TimeLimitExceeded) and not state.should_terminate:
            state.task_ready(self)
            self._note_time_limit()
            self.reject(requeue=True)
        elif isinstance(error, (SystemExit, MemoryError)):
            state.task_ready(self)
            self.reject(requeue=True)
        else:
            super().on_failure(exc_info, send_failed_event, return_ok)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Celery calls this for `revoke(terminate=True)`. The process finds the wish when it hands back."""
        self._cancel()
        super().terminate(pool, signal)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Celery calls this for a message that was revoked or has expired, or whose process it killed."""
        super()._announce_revoked(reason, terminated, signum, expired)
        if not expired:
            self._cancel()
            # A process that takes this message writes that the scan is cancelled.
            scan_id = self._scan_id()
            if scan_id is not None:
                self._send(message(scan_id, resent=True))

    def _cancel(self) -> None:
        scan_id = self._scan_id()
        if scan_id is None:
            return
        try:
            open_ledger(load_settings()).ask_cancel(scan_id)
        except LedgerError as error:
            log.warning("ledger_not_told", reason=str(error))

    def _send(self, keywords: dict[str, object]) -> None:
        try:
            sender(self._app)(keywords)
        except OperationalError as error:
            # Reconcile finds the wish when the deadline of the scan has passed.
            log.warning("cancel_not_sent", error=type(error).__name__)

    def _scan_id(self) -> ScanId | None:
        arguments, keywords = self._args or [None], self._kwargs or {}
        try:
            return scan_id_of(arguments[0], keywords.get("scan_id"))
        except InvalidRequest:
            return None

    def _note_time_limit(self) -> None:
        scan_id = self._scan_id()
        if scan_id is None:
            return
        try:
            ledger = open_ledger(load_settings())
            if ledger.add_failure(scan_id, process_name(self.worker_pid), TOO_LONG) >= ALIKE:
                ledger.quarantine(scan_id, TOO_LONG)
                count("pose_quarantines", "time_limit")
        except LedgerError as error:
            # The killed process is counted, so the scan comes to an end all the same.
            log.warning("ledger_not_told", reason=str(error))


def _count_crash(error: BaseException) -> None:
    """Count a process that ended during a scan. One that the worker ends because it ends itself is none."""
    if any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate)):
        return  # 0 is an exit code
    match error:
        case TimeLimitExceeded():
            count("pose_crashes", "time_limit")
        case WorkerLostError():
            count("pose_crashes", "killed")
        case SystemExit():
            count("pose_crashes", "ended")
        case MemoryError():
            count("pose_crashes", "memory")
