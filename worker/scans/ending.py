"""How an attempt ends if it does not complete its scan: the scan fails, is tried again, or is handed back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.ledger.base import LeaseLost, Ledger, LedgerError
from worker.scans.cancel import write_cancelled
from worker.scans.completeness import ScanIncomplete
from worker.scans.events import Events
from worker.scans.failures import (
    ALIKE,
    ErrorPolicy,
    Fault,
    ProcessEnds,
    ScanFailed,
    classify_error,
    reason_class_of,
)
from worker.scans.final_event import emit_final_event
from worker.scans.job import Job
from worker.scans.retry import (
    RetryLater,
    retry_after_error,
    retry_after_lock,
    retry_incomplete,
    retry_unwritten,
)
from worker.scans.self_check import OwnProcess, ProcessUnfit
from worker.scans.status import ScanStatus, Status, StatusRecord
from worker.scans.tombstones import refuse_erased
from worker.storage.base import Storage, StorageError, StorageUnavailable
from worker.time_limit import TimeLimitReached

if TYPE_CHECKING:
    from pose import ScanResult

log = get_logger(__name__)


class Ending:
    """Ends an attempt. Most methods raise what `Attempt.run` raises.

    Args:
        job: What the message asks for.
        settings: Of this process.
        ledger: Of this process.
        events: Where the final event goes.
        results: Storage of results.
        process: This process.
        clock: Returns seconds of the epoch.
    """

    def __init__(
        self,
        job: Job,
        settings: Settings,
        ledger: Ledger,
        events: Events,
        results: Storage,
        process: OwnProcess,
        clock: Callable[[], float],
    ) -> None:
        self._job = job
        self._settings = settings
        self._ledger = ledger
        self._events = events
        self._results = results
        self._process = process
        self._clock = clock

    def hand_back(self, record: StatusRecord, reason: str) -> None:
        """Leave the scan to another process. The message itself goes back into the queue."""
        with suppress(LeaseLost, RetryLater):
            if self._is_cancel_asked():
                self.write_cancelled(record)
            elif record.status.status is not Status.COMPLETED:
                record.retrying(reason, self._settings.queue_lease_s)
                self.try_ledger(lambda: self.set_deadline(self._settings.queue_lease_s))

    def write_cancelled(self, record: StatusRecord) -> None:
        """Write that the scan is cancelled, unless it is final.

        Raises:
            RetryLater: That could not be written. The next attempt does it.
            LeaseLost: Another worker may have the scan.
        """
        try:
            write_cancelled(self._job.scan_id, self._ledger, self._events, record.storage)
        except LeaseLost:
            raise
        except (LedgerError, StorageError) as error:
            raise retry_unwritten(self._job.retry_state, str(error), self._settings) from None

    def _is_cancel_asked(self) -> bool:
        try:
            return self._ledger.is_cancel_asked(self._job.scan_id)
        except LedgerError:
            return False

    def retry_or_fail(self, error: BaseException, record: StatusRecord | None) -> NoReturn:
        """Decide whose fault an error is, and end the attempt. `record` is None if the lock was not taken."""
        policy = classify_error(error)
        if policy.fault is Fault.UNKNOWN:
            log.exception("unexpected_error")
        if policy.fault in (Fault.MACHINE, Fault.UNKNOWN):
            self._check_process(policy.reason, record)
        if policy.fault is not Fault.SCAN and not self._is_proven(policy, record):
            retry = self._wait_for_files(error) if policy.fault is Fault.UPLOAD else self.retry(policy.reason)
            if retry is not None:
                retry.reason_class = reason_class_of(error, policy.fault)
                self._note_retry(retry, record, error)
                raise retry from None
        if record is None:
            # Another worker may have the scan: write nothing.
            raise retry_unwritten(self._job.retry_state, policy.reason, self._settings) from None
        self._fail(policy, record, error)

    def wait_for_lock(self, reason: str) -> NoReturn:
        retry = retry_after_lock(self._job.retry_state, reason, self._settings)
        if retry is None:
            log.error("scan_left_to_another")
            raise ScanFailed("another worker has the scan and will finish it")
        retry.reason_class = "lock"
        raise retry from None

    def fail_without_lock(self, reason: str) -> NoReturn:
        """Fail the scan unless it is final. The ledger was away so long that nobody holds a lock any more."""
        log.error("scan_failed", reason=reason)
        job = self._job
        record = StatusRecord(
            self._results,
            job.scan_id,
            job.task_id,
            job.retry_state.attempt,
            lease_s=0,
            clock=lambda: datetime.fromtimestamp(self._clock(), UTC),
        )
        try:
            refuse_erased(self._results, job.scan_id)
            earlier = record.read_earlier()
            written = earlier is not None and earlier.status.final
            if not written:
                written = record.failed(reason)
                if written:
                    emit_final_event(self._events, record.status, self._results)
        except StorageUnavailable as error:
            log.warning("status_not_written", status=Status.FAILED, reason=str(error))
            written = False
        if not written:
            raise retry_unwritten(job.retry_state, reason, self._settings) from None
        raise ScanFailed(reason) from None

    def close(self, status: ScanStatus | None, result: ScanResult | None = None) -> None:
        """Send the final event of a status, if one is given, and close the scan in the ledger after that."""
        try:
            if status is None or emit_final_event(self._events, status, self._results, result):
                self._ledger.close(self._job.scan_id)
        except (LedgerError, StorageError) as error:
            log.warning("end_not_told", reason=str(error))

    def set_deadline(self, seconds: float) -> None:
        """Count the scan as overdue after so many seconds."""
        self._ledger.set_deadline(self._job.scan_id, self._clock() + seconds)

    def try_ledger(self, step: Callable[[], object]) -> None:
        """Go on if the ledger is away: that costs a superfluous message or a crash counted too many."""
        try:
            step()
        except LedgerError as error:
            log.warning("ledger_not_told", reason=str(error))

    def retry(self, reason: str) -> RetryLater | None:
        return retry_after_error(self._job.retry_state, reason, self._settings, self._clock())

    def _wait_for_files(self, error: BaseException) -> RetryLater | None:
        wait_s = error.wait_s if isinstance(error, ScanIncomplete) else None
        state, settings = self._job.retry_state, self._settings
        return retry_incomplete(state, str(error), settings, self._clock(), wait_s)

    def _check_process(self, reason: str, record: StatusRecord | None) -> None:
        """Go on if this process works. If it does not, end it: the error says nothing about the scan."""
        try:
            self._process.check()
        except ProcessUnfit as unfit:
            text = f"{reason}; the process does not work: {unfit}"
            if not self._process.replaceable:
                raise retry_unwritten(self._job.retry_state, text, self._settings) from None
            log.error("process_ends", reason=text)
            if record is not None:
                self.hand_back(record, text)
            raise ProcessEnds(text) from None

    def _is_proven(self, policy: ErrorPolicy, record: StatusRecord | None) -> bool:
        """Record a failure that may be the scan's. Return whether it failed alike in several processes."""
        if policy.fault is not Fault.UNKNOWN or record is None:
            return False
        name = self._process.name
        if not self._process.replaceable:
            # There is no other process here. Another attempt has to do.
            name += f":{self._job.retry_state.attempt}"
        try:
            return self._ledger.add_failure(self._job.scan_id, name, policy.kind) >= ALIKE
        except LedgerError as error:
            log.warning("ledger_not_told", reason=str(error))
            return False

    def _note_retry(self, retry: RetryLater, record: StatusRecord | None, error: BaseException) -> None:
        # The message waits for the delay, and then as long as any other message.
        lease_s = retry.delay_s + self._settings.queue_lease_s
        # A storage that was too slow would take the time until this process is killed.
        slow = isinstance(error, TimeLimitReached) and error.storage is not None
        if record is not None and not slow and record.status.status is not Status.COMPLETED:
            record.retrying(retry.reason, lease_s)
        if record is not None:
            self.try_ledger(lambda: self.set_deadline(lease_s))

    def _fail(self, policy: ErrorPolicy, record: StatusRecord, error: BaseException) -> NoReturn:
        from pose.errors import InvalidScan

        if record.status.status is Status.COMPLETED:
            # The result is stored, and only its status could not be written.
            raise retry_unwritten(self._job.retry_state, policy.reason, self._settings) from None
        # Leave a completed scan as it is if nothing new was analysed, unless its files cannot be used now.
        if not record.deferred or isinstance(error, InvalidScan):
            if not record.failed(policy.reason):
                # Keep the message until its status is written.
                raise retry_unwritten(self._job.retry_state, policy.reason, self._settings) from None
            self.close(record.status)
        else:
            record.keep_earlier()
        log.error("scan_failed", reason=policy.reason)
        # Do not chain the error: Celery would store and log its text, which may hold anything.
        failed = ScanFailed(policy.reason)
        failed.reason_class = reason_class_of(error, policy.fault)
        raise failed from None
