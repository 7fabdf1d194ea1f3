"""One try at a scan: under its lock, counted, and with an end that is written down. Knows no queue.

How it ends is told by what is given back or raised: an `Outcome`, `ScanFailed`, or `RetryLater`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from billiard.exceptions import SoftTimeLimitExceeded

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.ledger.base import Lease, LeaseLost, Ledger, LedgerError, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.events import EventType, open_events
from worker.scans.failures import TOO_LONG, Quarantined, ScanFailed, classify_error, retry_delay_s
from worker.scans.final_event import emit_final_event
from worker.scans.job import Job, RetryLater, RetryState
from worker.scans.process import Outcome, Report
from worker.scans.status import ScanStatus, Stage, Status, StatusRecord
from worker.scans.transfer import read_result
from worker.storage.base import Storage, StorageError, StorageUnavailable
from worker.storage.guarded import LockGuardedStorage
from worker.storage.opening import open_storages

if TYPE_CHECKING:
    from pose import ScanResult

log = get_logger(__name__)

LONGEST_WAIT_S: Final = 5.0  # for a scan that another has; it may be done at any moment
HANDED_BACK: Final = "handed back: its worker was told to end"

# Given where to read and write results, whether to analyse anew, and whom to tell of progress.
Work = Callable[[Storage, bool, Report], Outcome]


class Attempt:
    """One try. `tell` is given each step of progress that is written down, for whoever else may be told."""

    def __init__(
        self, job: Job, settings: Settings, work: Work, tell: Report, clock: Callable[[], float] = time.time
    ) -> None:
        self._job = job
        self._settings = settings
        self._work = work
        self._tell = tell
        self._clock = clock
        self._ledger: Ledger = open_ledger(settings)
        self._events = open_events(settings)
        _, self._results = open_storages(settings)
        self._unannounced = False

    def run(self) -> Outcome:
        """Work on the scan, if nobody else does.

        Raises:
            ScanFailed: it is done with, and has no result.
            RetryLater: try later. The lock is free by then.
            SystemExit: this process is told to end; the scan is free for another.
        """
        try:
            lease = self._ledger.lock(self._job.scan_id)
        except LedgerUnavailable as error:
            # Without the lock nothing is written: somebody else may be at work.
            again = self._later(str(error))
            if again is not None:
                raise again from None
            self._give_up_unlocked(str(error))
        if lease is None:
            self._wait("another worker has the scan")
        with lease:
            try:
                return self._locked(lease)
            except LeaseLost as error:
                self._wait(str(error))

    def _locked(self, lease: Lease) -> Outcome:
        job, settings = self._job, self._settings
        results = LockGuardedStorage(self._results, lease.check)
        record = StatusRecord(
            results,
            job.scan_id,
            job.task_id,
            job.tries.attempt,
            force=job.force,
            lease_s=settings.time_limit_s + settings.lock_ttl_s,
        )
        begun = False
        try:
            earlier = record.look()
            # Of a scan that is done with, it is open whether that was told.
            untold = earlier is not None and earlier.status.final and self._ledger.is_open(job.scan_id)
            if job.resent and earlier is not None and earlier.status.final:
                return self._answered(earlier, untold)
            deaths = self._check_and_begin(earlier)
            begun = True
            done = earlier is not None and earlier.status is Status.COMPLETED and not job.force
            self._start(record, earlier, deaths, held=done)
            outcome = self._work(results, job.force, self._reporter(record))
            record.completed()
            self._tell_completed(record.status if not record.held else earlier if untold else None, outcome)
            return outcome
        except LeaseLost:
            raise
        except SystemExit:
            # Told to end; the message itself goes back into the queue.
            with suppress(LeaseLost):
                if record.status.status is not Status.COMPLETED:
                    record.retrying(HANDED_BACK, settings.queue_lease_s)
                    self._quietly(lambda: self._answer_for(settings.queue_lease_s))
            raise
        except Exception as error:
            self._failed(error, record)
        finally:
            if begun:
                self._end()

    def _check_and_begin(self, earlier: ScanStatus | None) -> int:
        scan_id = self._job.scan_id
        reason = self._ledger.quarantine_reason(scan_id)
        if reason is not None:
            if earlier is None or earlier.status is not Status.COMPLETED or self._job.force:
                raise Quarantined(reason)
            # A process that had lost its lock was over the time limit; another did the scan meanwhile.
            self._ledger.release_quarantine(scan_id)
        deaths = self._ledger.begin(scan_id)
        if deaths >= self._settings.max_deaths:
            self._ledger.end(scan_id)
            reason = _poison(deaths, earlier)
            self._ledger.quarantine(scan_id, reason)
            raise Quarantined(reason)
        if deaths:
            log.warning("scan_took_processes", deaths=deaths)
        self._answer_for(self._settings.lock_ttl_s)
        return deaths

    def _start(self, record: StatusRecord, earlier: ScanStatus | None, deaths: int, *, held: bool) -> None:
        log.info("scan_started")
        # Announced ones were told of by whoever announced them.
        if earlier is None or not earlier.status.final:
            self._unannounced = earlier is None or earlier.queued_at is None
        else:
            self._unannounced = self._job.tries == RetryState()
        record.started(deaths, held=held)
        if not held:
            self._tell_started(record)

    def _tell_started(self, record: StatusRecord) -> None:
        scan_id = self._job.scan_id
        if self._unannounced and self._events.emit(EventType.RECEIVED, scan_id):
            record.received()
        self._events.emit(EventType.STARTED, scan_id, attempt=self._job.tries.attempt)

    def _reporter(self, record: StatusRecord) -> Report:
        def report(stage: Stage, done: int, frames: int | None) -> None:
            was_held = record.held
            written = record.progress(stage, done, frames)
            if was_held and not record.held:
                self._tell_started(record)
            if written:
                self._events.emit(
                    EventType.PROGRESS, self._job.scan_id, stage=stage.value, frame=done, frames=frames
                )
            self._tell(stage, done, frames)

        return report

    def _answered(self, earlier: ScanStatus, untold: bool) -> Outcome:
        """A scan that was sent again and is done with by now."""
        log.info("scan_done_already")
        self._close(earlier if untold else None)
        if earlier.status is Status.FAILED:
            raise ScanFailed(earlier.reason or "it has failed")
        result = read_result(self._results, self._job.scan_id)
        if result is None:
            raise ScanFailed("its result was taken away")
        return Outcome(result, repeated=True)

    def _failed(self, error: Exception, record: StatusRecord) -> NoReturn:
        from pose.errors import InvalidScan

        if isinstance(error, ScanFailed):
            raise error
        verdict = classify_error(error)
        if not verdict.expected:
            log.exception("unexpected_error")
        again = self._later(verdict.reason) if verdict.passing else None
        if again is not None:
            # It is in the queue for that long, and then for as long as any other.
            lease_s = again.delay_s + self._settings.queue_lease_s
            record.retrying(verdict.reason, lease_s)
            self._quietly(lambda: self._answer_for(lease_s))
            raise again from None
        log.error("scan_failed", reason=verdict.reason)
        # A finished scan of which nothing new was seen stays as it is; not if its files cannot be used now.
        # Nor does one fail whose time was up while that it is completed was written.
        unfinished = not record.held and record.status.status is not Status.COMPLETED
        if (unfinished or isinstance(error, InvalidScan)) and record.failed(verdict.reason):
            self._close(record.status)
        # Else it stays open, until its lease has run out and somebody looks what has become of it.
        # Not the error itself: Celery would store and log a text that may hold anything.
        raise ScanFailed(verdict.reason) from None

    def _tell_completed(self, status: ScanStatus | None, outcome: Outcome) -> None:
        """Of a scan that is completed, whatever happens here. Untold, it stays open."""
        try:
            self._quietly(lambda: self._ledger.release_quarantine(self._job.scan_id))
            self._close(status, outcome.result)
        except SoftTimeLimitExceeded:
            log.warning("end_not_told", reason=TOO_LONG)

    def _later(self, reason: str) -> RetryLater | None:
        """What to do about a failure that may pass; None where it was tried for long enough."""
        tries, settings = self._job.tries, self._settings
        now = self._clock()
        since = now if tries.since is None else tries.since
        delay_s = retry_delay_s(tries.attempt + 1, settings.retry_base_s)
        if tries.attempt >= settings.max_attempts or now + delay_s > since + settings.retry_total_s:
            return None
        return RetryLater(reason, delay_s, replace(tries, attempt=tries.attempt + 1, since=since))

    def _wait(self, reason: str) -> NoReturn:
        """Come again soon. Whoever has the scan answers for it, so there is an end to waiting."""
        tries, settings = self._job.tries, self._settings
        delay_s = min(LONGEST_WAIT_S, 0.5 * 2.0 ** min(tries.waits, 16))
        if tries.waits * LONGEST_WAIT_S > settings.time_limit_s + settings.lock_ttl_s + 30:
            log.error("scan_left_to_another")
            raise ScanFailed("another worker has the scan, and answers for it")
        raise RetryLater(reason, delay_s, replace(tries, waits=tries.waits + 1)) from None

    def _give_up_unlocked(self, reason: str) -> NoReturn:
        """The ledger was away for so long that nobody holds a lock any more. What is final stays."""
        log.error("scan_failed", reason=reason)
        record = StatusRecord(
            self._results, self._job.scan_id, self._job.task_id, self._job.tries.attempt, lease_s=0
        )
        try:
            earlier = record.look()
            if (earlier is None or not earlier.status.final) and record.failed(reason):
                emit_final_event(self._events, record.status, self._results)
        except StorageUnavailable as error:
            log.warning("status_not_written", status=Status.FAILED, reason=str(error))
        raise ScanFailed(reason) from None

    def _end(self) -> None:
        """Not given up at once: what cannot be noted counts as a death."""
        for wait_s in (0.5, 1.0, 1.5, None):
            try:
                return self._ledger.end(self._job.scan_id)
            except LedgerError as error:
                log.warning("ledger_not_told", reason=str(error))
                if wait_s is not None:
                    time.sleep(wait_s)

    def _answer_for(self, seconds: float) -> None:
        self._ledger.set_deadline(self._job.scan_id, self._clock() + seconds)

    def _close(self, status: ScanStatus | None = None, result: ScanResult | None = None) -> None:
        """The scan is done with, and this status is told if there is one. Untold, it stays open till then."""
        try:
            if status is None or emit_final_event(self._events, status, self._results, result):
                self._ledger.close(self._job.scan_id)
        except (LedgerError, StorageError) as error:
            log.warning("end_not_told", reason=str(error))

    def _quietly(self, step: Callable[[], None]) -> None:
        """What is not noted now costs a message that finds nothing to do, or a death that was none."""
        try:
            step()
        except LedgerError as error:
            log.warning("ledger_not_told", reason=str(error))


def _poison(deaths: int, earlier: ScanStatus | None) -> str:
    known = "it is not known at which step"
    if earlier is not None and earlier.stage is not None:
        known = f"the last one at {earlier.stage.value}"
        if earlier.frames is not None:
            known += f", after frame {earlier.frames_done} of {earlier.frames}"
    return f"poison: {deaths} processes died while they worked on it, {known}"
