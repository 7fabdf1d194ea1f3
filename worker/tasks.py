"""The Celery tasks. `worker.scans.attempt` says how an attempt ends, `worker.scans.process` what it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from celery import Task, signals
from celery.exceptions import Reject, Retry

from worker.app import app
from worker.broker.waiting import waiting_scans
from worker.config.logs import get_logger, task_context
from worker.config.settings import Settings, load_settings
from worker.erasure.retention import erase_old_results
from worker.intake.task_call import parse_call
from worker.keys import InvalidRequest, ScanId
from worker.ledger.base import process_name
from worker.models.loading import get_comparison_estimator, get_estimator, get_face_detector
from worker.models.memory import give_back_memory
from worker.queue import NAME, sender
from worker.runtime.reports import Kind, is_replaceable, send_counts, send_report
from worker.scans.attempt import Attempt
from worker.scans.counted import counted
from worker.scans.failures import ScanFailed
from worker.scans.job import Job
from worker.scans.page import page_maker
from worker.scans.process import Outcome, Report, process
from worker.scans.reconcile import reconcile
from worker.scans.retry import HEADER, RetryLater, RetryState, retry_unwritten
from worker.scans.self_check import OwnProcess, ProcessUnfit, check_process
from worker.scans.status import Stage
from worker.scans.tombstones import ScanErased
from worker.scans.transfer import limits_of
from worker.storage.base import Storage
from worker.storage.opening import open_storages
from worker.tracing import span

log = get_logger(__name__)
RECONCILE: Final = "worker.reconcile"
RETENTION: Final = "worker.retention"
KEEP_PAUSE_S: Final = 1.0  # the message comes again at once
PROGRESS_PAUSE_S: Final = 10.0  # after progress could not be reported


# `throws`: a failed scan is no bug, so Celery logs it as one line and not as a traceback.
@app.task(
    bind=True, name=NAME, throws=(ScanFailed,), max_retries=None, Request="worker.runtime.request:ScanRequest"
)
def process_scan(
    self: Task, arrival: Any = None, *, scan_id: Any = None, force: Any = False, resent: Any = False
) -> dict[str, Any]:
    """Analyse a scan: `send_task("worker.process_scan", kwargs={"scan_id": "…"})`.

    Args:
        arrival: One object `{"scan_id": "…"}`, in place of `scan_id`.
        scan_id: The scan.
        force: Analyse the scan again although it is completed.
        resent: The message was sent again to make sure that the scan is finished.

    Returns:
        The main values of the result.

    Raises:
        ScanFailed: The scan is finished and has no result. The text says why, as does its status.json.
    """
    try:
        asked = {"arrival": arrival, "scan_id": scan_id, "force": force, "resent": resent}
        scan_id = parse_call((), asked)
    except InvalidRequest as error:
        # Without a scan id there is no key, and so no status.json.
        log.error("arrival_refused", reason=str(error))
        raise ScanFailed(str(error)) from None
    state = RetryState.from_header((self.request.headers or {}).get(HEADER))
    job = Job(scan_id, self.request.id, force, resent, state)
    about = {"scan_id": scan_id, "attempt": state.attempt}
    with (
        task_context(**about, task_id=self.request.id),
        span("process_scan", self.request.headers or {}, **about),
    ):
        try:
            outcome = _attempt_or_retry(self, job, load_settings())
        except ScanErased:
            # Celery stores the arguments beside the reason, and with them the id of the scan.
            self.request.update(args=[], kwargs={})
            raise
        finally:
            send_counts()
        log.info("scan_completed", repeated=outcome.repeated)
        return _summary(scan_id, outcome)


# Beat does the regular work itself (`worker.runtime.maintenance`). These two tasks are for other schedulers.
# Their time limit is that of a scan, and so below the visibility timeout.


@app.task(name=RECONCILE, ignore_result=True)
def reconcile_scans(sweep: bool = False, restart: bool = False) -> None:
    """Send overdue scans again; see `worker.scans.reconcile`."""
    settings = load_settings()
    with task_context():
        reconcile(
            settings,
            *open_storages(settings),
            sender(app),
            waiting=lambda: waiting_scans(app),
            sweep=sweep,
            restart=restart,
        )


@app.task(name=RETENTION, ignore_result=True)
def erase_expired() -> None:
    """Erase a slice of the results that are older than `RETENTION_DAYS`; see `worker.erasure.retention`."""
    settings = load_settings()
    with task_context():
        erase_old_results(settings, *open_storages(settings), app)


@signals.worker_ready.connect
def _reconcile_after_restart(**_: Any) -> None:
    """Send open scans again: the embedded broker loses the messages that a killed worker had taken."""
    if load_settings().broker_url.startswith("filesystem://"):
        reconcile_scans.apply_async(kwargs={"restart": True})


def _attempt_or_retry(task: Task, job: Job, settings: Settings) -> Outcome:
    """Return the outcome of an attempt. The message is kept unless the scan has its final status."""
    try:
        outcome = _attempt(task, job, settings)
    except RetryLater as later:
        if not later.waits:
            send_report(Kind.FAILED, later.reason)
        _retry(task, later)
    except ScanFailed:
        if job.retry_state.attempt == 1:  # later, it may have failed for the last reason of several
            send_report(Kind.DONE)
        raise
    except Exception as error:
        # What went wrong while another error was handled, as when there is no memory at all.
        log.exception("unexpected_error")
        reason = f"unexpected error: {type(error).__name__}"
        send_report(Kind.FAILED, reason)
        _retry(task, retry_unwritten(job.retry_state, reason, settings))
    send_report(Kind.DONE)
    return outcome


def _attempt(task: Task, job: Job, settings: Settings) -> Outcome:
    scans, _ = open_storages(settings)

    def work(results: Storage, force: bool, report: Report, note_files: Callable[[str], None]) -> Outcome:
        return process(
            job.scan_id,
            scans,
            results,
            get_estimator(settings),
            limits_of(settings),
            report,
            compare_with=get_comparison_estimator(settings),
            face_detector=get_face_detector(settings),
            quality_limits=settings.limits,
            force=force,
            xor_key=bytes.fromhex(settings.scans_xor_key) if settings.scans_xor_key else None,
            quiet_s=settings.arrivals_quiet_s,
            note_files=note_files,
            make_page=page_maker(settings),
        )

    def check() -> None:
        try:
            check_process(settings)
        except ProcessUnfit as unfit:
            send_report(Kind.UNFIT, str(unfit))
            raise

    own = OwnProcess(process_name(), is_replaceable(), check)
    try:
        return counted(Attempt(job, settings, work, _progress_reporter(task, job.scan_id), own).run)
    finally:
        give_back_memory()


def _retry(task: Task, later: RetryLater) -> NoReturn:
    log.warning("scan_retried", reason=later.reason, delay_s=round(later.delay_s, 1))
    headers = {**(task.request.headers or {}), HEADER: later.state.to_header()}
    try:
        raise task.retry(exc=ScanFailed(later.reason), countdown=later.delay_s, headers=headers)
    except Retry:
        raise
    except Exception as error:
        # The new message could not be sent. Keep the old one, which Celery would drop.
        time.sleep(KEEP_PAUSE_S)
        raise Reject(type(error).__name__, requeue=True) from None


def _progress_reporter(task: Task, scan_id: ScanId) -> Report:
    """Return a function that reports progress in the task's state, and as an event, which Flower shows."""

    silent_until = 0.0

    def report(stage: Stage, done: int, frames: int | None) -> None:
        nonlocal silent_until
        # Do not wait for a dead Redis at each frame: the scan would run into its time limit.
        if time.monotonic() < silent_until:
            return
        fields = {"scan_id": scan_id, "stage": stage.value, "frame": done, "frames": frames}
        text = f"{stage.value}: frame {done} of {frames}" if stage is Stage.ANALYSE else stage.value
        try:
            task.update_state(state="PROGRESS", meta=fields)
            # Flower lists a task's `result`, and takes `progress` in `task-progress` for its state.
            task.send_event("task-progress", result=text, **fields)
        except Exception as error:  # of any broker and any result store
            silent_until = time.monotonic() + PROGRESS_PAUSE_S
            log.warning("progress_not_told", error=type(error).__name__)

    return report


def _summary(scan_id: ScanId, outcome: Outcome) -> dict[str, Any]:
    """Return the answer of the task, which Flower shows for a completed scan."""
    result = outcome.result
    return {
        "scan_id": scan_id,
        "status": "completed",
        "posture": result.posture,
        "body_length_m": result.body_length_m,
        "frames_used": result.frames_used,
        "verdict": result.verdict,
        "frames": len(result.frames),
        "repeated": outcome.repeated,
    }
