"""One attempt at a scan: take its lock, count the attempt, do the work, write down how it ended.

This module knows no queue. `Attempt.run` returns an `Outcome`, or raises `ScanFailed` or `RetryLater`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, NoReturn

from billiard.exceptions import SoftTimeLimitExceeded

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.ledger.base import Lease, LeaseLost, Ledger, LedgerError, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.events import EventType, open_events
from worker.scans.failures import TOO_LONG, Quarantined, ScanFailed, classify_error
from worker.scans.final_event import emit_final_event
from worker.scans.job import Job
from worker.scans.process import Outcome, Report
from worker.scans.retry import RetryLater, RetryState, retry_after_error, retry_after_lock
from worker.scans.status import ScanStatus, Stage, Status, StatusRecord
from worker.scans.tombstones import ScanErased, is_erased
from worker.scans.transfer import read_result
from worker.storage.base import Storage, StorageError, StorageUnavailable
from worker.storage.guarded import LockGuardedStorage
from worker.storage.opening import open_storages

if TYPE_CHECKING:
    from pose import ScanResult

log = get_logger(__name__)

HANDED_BACK: Final = "handed back: its worker was told to end"

# Analyses the scan. Takes the storage of results, `force`, and the function to report progress to.
Work = Callable[[Storage, bool, Report], Outcome]


class Attempt:
    """One attempt at one scan.

    Args:
        job: What the message asks for.
        settings: Of this process.
        work: Analyses the scan.
        report: Called with each step of progress, after status and event are written.
        clock: Returns seconds of the epoch.
    """

    def __init__(
        self, job: Job, settings: Settings, work: Work, report: Report, clock: Callable[[], float] = time.time
    ) -> None:
        self._job = job
        self._settings = settings
        self._work = work
        self._report = report
        self._clock = clock
        self._ledger: Ledger = open_ledger(settings)
        self._events = open_events(settings)
        _, self._results = open_storages(settings)
        self._received_event_due = False

    def run(self) -> Outcome:
        """Work on the scan, unless another worker has it.

        Raises:
            ScanFailed: The scan is finished and has no result.
            RetryLater: The message is to come again. The lock is released.
            SystemExit: This process must end. The scan is free for another worker.
        """
        with self._lock() as lease:
            try:
                return self._run_locked(lease)
            except LeaseLost as error:
                self._wait_for_lock(str(error))

    def _lock(self) -> Lease:
        try:
            lease = self._ledger.lock(self._job.scan_id)
        except LedgerUnavailable as error:
            # Write no status without the lock: another worker may have the scan.
            retry = self._retry(str(error))
            if retry is not None:
                raise retry from None
            self._fail_without_lock(str(error))
        if lease is None:
            self._wait_for_lock("another worker has the scan")
        return lease

    def _run_locked(self, lease: Lease) -> Outcome:
        job, settings = self._job, self._settings
        results = LockGuardedStorage(self._results, lease.check)
        record = StatusRecord(
            results,
            job.scan_id,
            job.task_id,
            job.retry_state.attempt,
            force=job.force,
            lease_s=settings.time_limit_s + settings.lock_ttl_s,
        )
        with ExitStack() as on_exit:
            try:
                self._refuse_erased()
                earlier = record.read_earlier()
                final = earlier is not None and earlier.status.final
                # A scan that is final but still open in the ledger: its final event was not sent.
                unsent = earlier if final and self._ledger.is_open(job.scan_id) else None
                if earlier is not None and final and job.resent:
                    return self._answer_resent(earlier, unsent)
                crashes = self._begin(earlier)
                on_exit.callback(self._end)
                self._start(record, earlier, crashes)
                outcome = self._work(results, job.force, self._progress_reporter(record))
                record.completed()
                self._finish_completed(unsent if record.deferred else record.status, outcome.result)
                return outcome
            except (LeaseLost, ScanFailed):
                raise
            except SystemExit:
                self._hand_back(record)
                raise
            except Exception as error:
                self._retry_or_fail(error, record)

    # The steps of `_run_locked`, in their order.

    def _refuse_erased(self) -> None:
        if is_erased(self._results, self._job.scan_id):
            # It was announced at the moment of its erasure, or another program left something.
            self._results.purge(self._job.scan_id)
            self._try_ledger(lambda: self._ledger.forget(self._job.scan_id))
            raise ScanErased

    def _answer_resent(self, earlier: ScanStatus, unsent: ScanStatus | None) -> Outcome:
        """Answer a message that was sent again for a scan that is finished by now."""
        log.info("scan_done_already")
        self._close(unsent)
        if earlier.status is Status.FAILED:
            raise ScanFailed(earlier.reason or "it has failed")
        result = read_result(self._results, self._job.scan_id)
        if result is None:
            raise ScanFailed("its result was deleted")
        return Outcome(result, repeated=True)

    def _begin(self, earlier: ScanStatus | None) -> int:
        """Count this attempt as a crash until `_end` is called, and return the number of earlier crashes.

        Raises:
            Quarantined: The scan is in quarantine, or is put there now after too many crashes.
        """
        scan_id = self._job.scan_id
        reason = self._ledger.quarantine_reason(scan_id)
        if reason is not None:
            if self._job.force or earlier is None or earlier.status is not Status.COMPLETED:
                raise Quarantined(reason)
            # A process without a lock was over the time limit while another worker completed the scan.
            self._ledger.release_quarantine(scan_id)
        crashes = self._ledger.begin(scan_id)
        if crashes >= self._settings.max_deaths:
            self._ledger.end(scan_id)
            reason = _poison_reason(crashes, earlier)
            self._ledger.quarantine(scan_id, reason)
            raise Quarantined(reason)
        if crashes:
            log.warning("scan_took_processes", deaths=crashes)
        self._set_deadline(self._settings.lock_ttl_s)
        return crashes

    def _start(self, record: StatusRecord, earlier: ScanStatus | None, crashes: int) -> None:
        log.info("scan_started")
        if earlier is None or not earlier.status.final:
            # `announce` sends this event and writes `queued_at`; other producers do neither.
            self._received_event_due = earlier is None or earlier.queued_at is None
        else:
            self._received_event_due = self._job.retry_state == RetryState()
        completed = earlier is not None and earlier.status is Status.COMPLETED and not self._job.force
        record.started(crashes, deferred=completed)
        if not completed:
            self._emit_started(record)

    def _emit_started(self, record: StatusRecord) -> None:
        scan_id = self._job.scan_id
        if self._received_event_due and self._events.emit(EventType.RECEIVED, scan_id):
            record.received()
        self._events.emit(EventType.STARTED, scan_id, attempt=self._job.retry_state.attempt)

    def _progress_reporter(self, record: StatusRecord) -> Report:
        def report(stage: Stage, done: int, frames: int | None) -> None:
            was_deferred = record.deferred
            written = record.progress(stage, done, frames)
            if was_deferred and not record.deferred:
                self._emit_started(record)
            if written:
                self._events.emit(
                    EventType.PROGRESS, self._job.scan_id, stage=stage.value, frame=done, frames=frames
                )
            self._report(stage, done, frames)

        return report

    def _finish_completed(self, status: ScanStatus | None, result: ScanResult) -> None:
        """Close a completed scan. It stays completed whatever happens here; at worst it stays open."""
        try:
            self._try_ledger(lambda: self._ledger.release_quarantine(self._job.scan_id))
            self._close(status, result)
        except SoftTimeLimitExceeded:
            log.warning("end_not_told", reason=TOO_LONG)

    def _hand_back(self, record: StatusRecord) -> None:
        """Leave the scan to another worker. The message itself goes back into the queue."""
        with suppress(LeaseLost):
            if record.status.status is not Status.COMPLETED:
                record.retrying(HANDED_BACK, self._settings.queue_lease_s)
                self._try_ledger(lambda: self._set_deadline(self._settings.queue_lease_s))

    def _retry_or_fail(self, error: Exception, record: StatusRecord) -> NoReturn:
        from pose.errors import InvalidScan

        policy = classify_error(error)
        if not policy.expected:
            log.exception("unexpected_error")
        retry = self._retry(policy.reason) if policy.transient else None
        if retry is not None:
            # The message waits for the delay, and then as long as any other message.
            lease_s = retry.delay_s + self._settings.queue_lease_s
            record.retrying(policy.reason, lease_s)
            self._try_ledger(lambda: self._set_deadline(lease_s))
            raise retry from None
        log.error("scan_failed", reason=policy.reason)
        # Leave a completed scan as it is if nothing new was analysed, unless its files cannot be used now. Do
        # not mark a scan failed if the time limit struck while `completed` was being written.
        unfinished = not record.deferred and record.status.status is not Status.COMPLETED
        if (unfinished or isinstance(error, InvalidScan)) and record.failed(policy.reason):
            self._close(record.status)
        # Otherwise the scan stays open, and `reconcile` looks at it when its deadline has passed.
        # Do not chain the error: Celery would store and log its text, which may hold anything.
        raise ScanFailed(policy.reason) from None

    def _end(self) -> None:
        """Take back the count of `_begin`. Try several times: what is not taken back counts as a crash."""
        for delay_s in (0.5, 1.0, 1.5, None):
            try:
                return self._ledger.end(self._job.scan_id)
            except LedgerError as error:
                log.warning("ledger_not_told", reason=str(error))
                if delay_s is not None:
                    time.sleep(delay_s)

    # What several steps use.

    def _retry(self, reason: str) -> RetryLater | None:
        return retry_after_error(self._job.retry_state, reason, self._settings, self._clock())

    def _wait_for_lock(self, reason: str) -> NoReturn:
        retry = retry_after_lock(self._job.retry_state, reason, self._settings)
        if retry is None:
            log.error("scan_left_to_another")
            raise ScanFailed("another worker has the scan and will finish it")
        raise retry from None

    def _fail_without_lock(self, reason: str) -> NoReturn:
        """Fail the scan unless it is final. The ledger was away so long that nobody holds a lock any more."""
        log.error("scan_failed", reason=reason)
        job = self._job
        record = StatusRecord(self._results, job.scan_id, job.task_id, job.retry_state.attempt, lease_s=0)
        try:
            self._refuse_erased()
            earlier = record.read_earlier()
            if (earlier is None or not earlier.status.final) and record.failed(reason):
                emit_final_event(self._events, record.status, self._results)
        except StorageUnavailable as error:
            log.warning("status_not_written", status=Status.FAILED, reason=str(error))
        raise ScanFailed(reason) from None

    def _set_deadline(self, seconds: float) -> None:
        """Count the scan as overdue after so many seconds."""
        self._ledger.set_deadline(self._job.scan_id, self._clock() + seconds)

    def _close(self, status: ScanStatus | None, result: ScanResult | None = None) -> None:
        """Send the final event of a status, if one is given, and close the scan in the ledger after that."""
        try:
            if status is None or emit_final_event(self._events, status, self._results, result):
                self._ledger.close(self._job.scan_id)
        except (LedgerError, StorageError) as error:
            log.warning("end_not_told", reason=str(error))

    def _try_ledger(self, step: Callable[[], object]) -> None:
        """Go on if the ledger is away: that costs a superfluous message or a crash counted too many."""
        try:
            step()
        except LedgerError as error:
            log.warning("ledger_not_told", reason=str(error))


def _poison_reason(crashes: int, earlier: ScanStatus | None) -> str:
    known = "it is not known at which step"
    if earlier is not None and earlier.stage is not None:
        known = f"the last one at {earlier.stage.value}"
        if earlier.frames is not None:
            known += f", after frame {earlier.frames_done} of {earlier.frames}"
    return f"poison: {crashes} processes died while they worked on it, {known}"
