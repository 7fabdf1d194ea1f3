"""The one task. What it does to a scan is in `processing`, what it makes of an error in `failures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task
from celery.exceptions import Reject

from worker.app import app
from worker.failures import ScanFailed, delay_before, judge
from worker.logs import get_logger, task_context
from worker.messages import InvalidArrival, scan_id_of
from worker.model import get_compared, get_estimator
from worker.processing import Outcome, process
from worker.settings import Settings, load_settings
from worker.status import Stage, StatusRecord
from worker.storage import Limits, open_storages

log = get_logger(__name__)

NAME: Final = "worker.process_scan"


# `throws`: a scan that failed is no fault of this code, and is logged as a line and not as a traceback.
@app.task(bind=True, name=NAME, throws=(ScanFailed,), max_retries=None)
def process_scan(self: Task, arrival: Any = None, *, scan_id: Any = None) -> dict[str, Any]:
    """Analyse a scan: `send_task("worker.process_scan", kwargs={"scan_id": "…"})`.

    One positional object, `args=[{"scan_id": "…"}]`, is taken as well.

    Raises:
        ScanFailed: the scan is done with and has no result; the text says why, as does its status.json.
    """
    try:
        scan_id = scan_id_of(arrival, scan_id)
    except InvalidArrival as error:
        # Without an id there is no key, and so no status.json to say it in.
        log.error("arrival_refused", reason=str(error))
        raise ScanFailed(str(error)) from None
    attempt = self.request.retries + 1
    with task_context(scan_id=scan_id, attempt=attempt, task_id=self.request.id):
        return _attempt(self, scan_id, attempt, load_settings())


def _attempt(task: Task, scan_id: str, attempt: int, settings: Settings) -> dict[str, Any]:
    scans, results = open_storages(settings)
    record = StatusRecord(results, scan_id, task.request.id, attempt)
    try:
        log.info("scan_started")
        record.started()
        outcome = process(
            scan_id,
            scans,
            results,
            get_estimator(settings),
            Limits(settings.max_object_bytes, settings.max_scan_bytes, settings.max_scan_files),
            _reporter(task, scan_id, record),
            compare_with=get_compared(settings),
        )
        record.completed()
    except Exception as error:
        verdict = judge(error)
        if not verdict.expected:
            log.exception("unexpected_error")
        if not verdict.passing or attempt >= settings.max_attempts:
            record.failed(verdict.reason)
            log.error("scan_failed", reason=verdict.reason)
            # Not the error itself: Celery would store and log a text that may hold anything.
            raise ScanFailed(verdict.reason) from None
        record.retrying(verdict.reason)
        _try_again(task, verdict.reason, delay_before(attempt + 1, settings.retry_base_s))
    log.info("scan_completed", repeated=outcome.repeated)
    return _summary(scan_id, outcome)


def _try_again(task: Task, reason: str, delay_s: float) -> None:
    """Always raises: Celery's way to say what becomes of a message."""
    log.warning("scan_retried", reason=reason, delay_s=round(delay_s, 1))
    try:
        task.retry(exc=ScanFailed(reason), countdown=delay_s)
    except Reject as error:
        # The new message could not be sent. Celery would drop the old one with it.
        raise Reject(error.reason, requeue=True) from None


def _reporter(task: Task, scan_id: str, record: StatusRecord) -> Callable[[Stage, int, int | None], None]:
    """Tells of progress in status.json, in the task's state and by an event, which is what Flower shows."""

    def report(stage: Stage, done: int, frames: int | None) -> None:
        record.progress(stage, done, frames)
        about = {"scan_id": scan_id, "stage": stage.value, "frame": done, "frames": frames}
        text = f"{stage.value}: frame {done} of {frames}" if stage is Stage.ANALYSE else stage.value
        try:
            task.update_state(state="PROGRESS", meta=about)
            # Flower lists a task's `result`, and takes `progress` in `task-progress` for its state.
            task.send_event("task-progress", result=text, **about)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # of any broker and result store there is
            log.warning("progress_not_told", error=type(error).__name__)

    return report


def _summary(scan_id: str, outcome: Outcome) -> dict[str, Any]:
    """What the task answers, and Flower shows of a scan that is done."""
    result = outcome.result
    return {
        "scan_id": scan_id,
        "status": "completed",
        "posture": result.posture,
        "body_length_m": result.body_length_m,
        "frames_used": result.frames_used,
        "frames": len(result.frames),
        "repeated": outcome.repeated,
    }
