"""One attempt at a scan: take its lock, count the attempt, do the work, write down how it ended.

This module knows no queue. `Attempt.run` returns an `Outcome`, or raises `ScanFailed`, `RetryLater` or
`ProcessEnds`.

A scan fails only for a proven reason. After an error that may be the scan's or this machine's, the process
checks itself. If it does not work, it ends, and the scan is as it was. If it works, the scan is tried again,
and fails once it failed alike in two processes (`worker.scans.ending`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.counters import count
from worker.ledger.base import Lease, LeaseLost, Ledger, LedgerError, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.cancel import ScanCancelled
from worker.scans.ending import Ending
from worker.scans.events import EventType, open_events
from worker.scans.failures import ProcessEnds, Quarantined, ScanFailed
from worker.scans.final_event import final_event_id
from worker.scans.job import Job
from worker.scans.process import Outcome, Report
from worker.scans.retry import RetryLater, RetryState
from worker.scans.self_check import OwnProcess
from worker.scans.status import ScanStatus, Stage, Status, StatusRecord
from worker.scans.tombstones import ScanErased, refuse_erased
from worker.scans.transfer import read_result
from worker.storage.base import Storage
from worker.storage.guarded import LockGuardedStorage
from worker.storage.opening import open_storages
from worker.time_limit import TimeLimit, TimeLimitReached

if TYPE_CHECKING:
    from pose import ScanResult

log = get_logger(__name__)

HANDED_BACK: Final = "handed back: its worker was told to end"
CANCEL_CHECK_S: Final = 1.0
FAILED_HERE: Final = "handed on: it failed in this process before, and another one is to try it"

# Analyses the scan. Takes the storage of results, `force`, the function to report progress to, and the
# function to tell which files are analysed.
Work = Callable[[Storage, bool, Report, Callable[[str], None]], Outcome]


class Attempt:
    """One attempt at one scan.

    Args:
        job: What the message asks for.
        settings: Of this process.
        work: Analyses the scan.
        report: Called with steps of progress, once a second at most within a stage.
        process: This process.
        clock: Returns seconds of the epoch; the clock of the ledger by default.
    """

    def __init__(
        self,
        job: Job,
        settings: Settings,
        work: Work,
        report: Report,
        process: OwnProcess,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._job = job
        self._settings = settings
        self._work = work
        self._report = report
        self._process = process
        self._limit = TimeLimit()
        self._ledger: Ledger = open_ledger(settings)
        self._events = open_events(settings)
        _, self._results = open_storages(settings)
        self._clock = clock or self._ledger.now
        self._ending = Ending(job, settings, self._ledger, self._events, self._results, process, self._clock)
        self._received_event_due = False
        self._next_cancel_check = 0.0

    def run(self) -> Outcome:
        """Work on the scan, unless another worker has it.

        Raises:
            ScanFailed: The scan is finished and has no result.
            RetryLater: The message is to come again. The lock is released.
            SystemExit: This process must end. The scan is free for another worker.
        """
        with self._limit:
            try:
                with self._lock() as lease:
                    return self._run_locked(lease)
            except LeaseLost as error:
                self._ending.wait_for_lock(str(error))
            except (RetryLater, ScanFailed):
                raise
            except Exception as error:
                # Without the lock, nothing is written.
                self._ending.retry_or_fail(error, None)

    def _lock(self) -> Lease:
        try:
            lease = self._ledger.lock(self._job.scan_id)
        except LedgerUnavailable as error:
            # Write no status without the lock: another worker may have the scan.
            retry = self._ending.retry(str(error))
            if retry is not None:
                retry.reason_class = "ledger"
                raise retry from None
            self._ending.fail_without_lock(str(error))
        if lease is None:
            self._ending.wait_for_lock("another worker has the scan")
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
            clock=lambda: datetime.fromtimestamp(self._clock(), UTC),
        )
        with ExitStack() as on_exit:
            try:
                with self._limit.interrupting():
                    self._refuse_erased(results)
                    earlier = record.read_earlier()
                    self._refuse_cancelled(earlier)
                    final = earlier is not None and earlier.status.final
                    # A scan that is final but still open in the ledger: its final event was not sent.
                    unsent = earlier if final and self._ledger.is_open(job.scan_id) else None
                    if earlier is not None and final and job.resent:
                        return self._answer_resent(earlier, unsent)
                    if not final:
                        self._leave_to_another()
                    crashes = self._begin(earlier)
                    on_exit.callback(self._end)
                    self._start(record, earlier, crashes)
                    outcome = self._work(results, job.force, self._progress_reporter(record), record.listed)
                if record.deferred:
                    record.keep_earlier()
                record.completed()
                self._finish_completed(unsent if record.deferred else record.status, outcome.result)
                return outcome
            except ScanCancelled:
                self._ending.write_cancelled(record)
                raise
            except (LeaseLost, ScanFailed):
                raise
            except SystemExit as end:
                self._ending.hand_back(record, end.reason if isinstance(end, ProcessEnds) else HANDED_BACK)
                raise
            except (Exception, TimeLimitReached) as error:
                self._ending.retry_or_fail(error, record)

    # The steps of `_run_locked`, in their order.

    def _refuse_erased(self, results: Storage) -> None:
        try:
            refuse_erased(results, self._job.scan_id)
        except ScanErased:
            self._ending.try_ledger(lambda: self._ledger.forget(self._job.scan_id))
            raise

    def _refuse_cancelled(self, earlier: ScanStatus | None) -> None:
        """Raise ScanCancelled if the scan is cancelled, or is to be, and was not announced again since."""
        done = earlier is not None and earlier.status is Status.CANCELLED
        if done or self._ledger.is_cancel_asked(self._job.scan_id):
            raise ScanCancelled

    def _check_not_cancelled(self) -> None:
        """Raise ScanCancelled if the scan is to be cancelled. Ask the ledger once a second at most."""
        if time.monotonic() < self._next_cancel_check:
            return
        self._next_cancel_check = time.monotonic() + CANCEL_CHECK_S
        try:
            asked = self._ledger.is_cancel_asked(self._job.scan_id)
        except LedgerError:
            return  # the lock and its renewal say what to do
        if asked:
            raise ScanCancelled

    def _answer_resent(self, earlier: ScanStatus, unsent: ScanStatus | None) -> Outcome:
        """Answer a message that was sent again for a scan that is finished by now."""
        log.info("scan_done_already")
        self._ending.close(unsent)
        if earlier.status is Status.FAILED:
            raise ScanFailed(earlier.reason or "it has failed")
        result = read_result(self._results, self._job.scan_id)
        if result is None:
            raise ScanFailed("its result was deleted")
        return Outcome(result, repeated=True)

    def _leave_to_another(self) -> None:
        """End this process if the scan failed in it before: a second failure here would prove nothing."""
        if self._process.replaceable and self._ledger.has_failed(self._job.scan_id, self._process.name):
            log.warning("process_ends", reason=FAILED_HERE)
            raise ProcessEnds(FAILED_HERE)

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
            count("pose_quarantines", "crashes")
            raise Quarantined(reason)
        if crashes:
            log.warning("scan_took_processes", deaths=crashes)
        self._ending.set_deadline(self._settings.lock_ttl_s)
        return crashes

    def _start(self, record: StatusRecord, earlier: ScanStatus | None, crashes: int) -> None:
        log.info("scan_started")
        if earlier is None or not earlier.status.final:
            # `announce` sends this event and writes `queued_at`; other producers do neither.
            self._received_event_due = earlier is None or earlier.queued_at is None
        else:
            self._received_event_due = self._job.retry_state == RetryState()
        if earlier is not None and earlier.status.final:
            record.supersede(final_event_id(earlier))
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
            self._limit.check()
            self._check_not_cancelled()
            was_deferred = record.deferred
            due = record.progress(stage, done, frames)
            if was_deferred and not record.deferred:
                self._emit_started(record)
            if due:
                self._events.emit(
                    EventType.PROGRESS, self._job.scan_id, stage=stage.value, frame=done, frames=frames
                )
                self._report(stage, done, frames)

        return report

    def _finish_completed(self, status: ScanStatus | None, result: ScanResult) -> None:
        """Close a completed scan. It stays completed whatever happens here; at worst it stays open."""
        try:
            self._ending.try_ledger(lambda: self._ledger.release_quarantine(self._job.scan_id))
            self._ending.close(status, result)
        except Exception as error:  # such as a MemoryError
            log.exception("end_not_told", reason=type(error).__name__)

    def _end(self) -> None:
        """Take back the count of `_begin`. Try several times: what is not taken back counts as a crash."""
        for delay_s in (0.5, 1.0, 1.5, None):
            try:
                return self._ledger.end(self._job.scan_id)
            except LedgerError as error:
                log.warning("ledger_not_told", reason=str(error))
                if delay_s is not None:
                    time.sleep(delay_s)


def _poison_reason(crashes: int, earlier: ScanStatus | None) -> str:
    known = "it is not known at which step"
    if earlier is not None and earlier.stage is not None:
        known = f"the last one at {earlier.stage.value}"
        if earlier.frames is not None:
            known += f", after frame {earlier.frames_done} of {earlier.frames}"
    return f"poison: {crashes} processes died while they worked on it, {known}"
