"""The tasks. What is done to a scan is in `processing`, how a try ends in `attempt`."""

from __future__ import annotations

import time
from typing import Any, Final

from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task, signals
from celery.exceptions import Reject

from worker.app import app
from worker.config.logs import get_logger, task_context
from worker.config.settings import Settings, load_settings
from worker.intake.task_call import scan_id_of
from worker.keys import InvalidRequest, ScanId
from worker.models.loading import get_comparison_estimator, get_estimator
from worker.queue import NAME, sender
from worker.scans.attempt import Attempt
from worker.scans.failures import ScanFailed
from worker.scans.job import HEADER, Job, RetryLater, RetryState
from worker.scans.process import Outcome, Report, process
from worker.scans.reconcile import reconcile
from worker.scans.status import Stage
from worker.scans.transfer import Limits
from worker.storage.base import Storage
from worker.storage.opening import open_storages

log = get_logger(__name__)
RECONCILE: Final = "worker.reconcile"
RECONCILE_LIMIT_S: Final = 600
AWAY_S: Final = 10.0


# `throws`: a scan that failed is no fault of this code, and is logged as a line and not as a traceback.
@app.task(
    bind=True, name=NAME, throws=(ScanFailed,), max_retries=None, Request="worker.runtime.request:ScanRequest"
)
def process_scan(
    self: Task, arrival: Any = None, *, scan_id: Any = None, force: Any = False, resent: Any = False
) -> dict[str, Any]:
    """Analyse a scan: `send_task("worker.process_scan", kwargs={"scan_id": "…"})`.

    One positional object, `args=[{"scan_id": "…"}]`, is taken as well. With `force` a scan is analysed anew
    that is done already. `resent` is for messages that only see to it that a scan comes to an end.

    Raises:
        ScanFailed: the scan is done with and has no result; the text says why, as does its status.json.
    """
    try:
        scan_id = scan_id_of(arrival, scan_id)
        if not isinstance(force, bool) or not isinstance(resent, bool):
            raise InvalidRequest("force and resent are true or false")
    except InvalidRequest as error:
        # Without an id there is no key, and so no status.json to say it in.
        log.error("arrival_refused", reason=str(error))
        raise ScanFailed(str(error)) from None
    tries = RetryState.of((self.request.headers or {}).get(HEADER))
    job = Job(scan_id, self.request.id, force, resent, tries)
    with task_context(scan_id=scan_id, attempt=tries.attempt, task_id=self.request.id):
        try:
            outcome = _attempt(self, job, load_settings())
        except RetryLater as again:
            _try_again(self, again)
        log.info("scan_completed", repeated=outcome.repeated)
        return _summary(scan_id, outcome)


@app.task(
    name=RECONCILE, ignore_result=True, soft_time_limit=RECONCILE_LIMIT_S, time_limit=RECONCILE_LIMIT_S + 30
)
def reconcile_scans(sweep: bool = False, restart: bool = False) -> None:
    """Send scans again for which nobody answers any more; see `worker.scans.reconcile`."""
    settings = load_settings()
    with task_context():
        reconcile(settings, *open_storages(settings), sender(app), sweep=sweep, restart=restart)


@signals.worker_ready.connect
def _after_restart(**_: Any) -> None:
    """The embedded broker loses what a killed worker had taken; nobody else would send it again soon."""
    if load_settings().broker_url.startswith("filesystem://"):
        reconcile_scans.apply_async(kwargs={"restart": True})


def _attempt(task: Task, job: Job, settings: Settings) -> Outcome:
    scans, _ = open_storages(settings)

    def work(results: Storage, force: bool, report: Report) -> Outcome:
        return process(
            job.scan_id,
            scans,
            results,
            get_estimator(settings),
            Limits(settings.max_object_bytes, settings.max_scan_bytes, settings.max_scan_files),
            report,
            compare_with=get_comparison_estimator(settings),
            force=force,
        )

    return Attempt(job, settings, work, _teller(task, job.scan_id)).run()


def _try_again(task: Task, again: RetryLater) -> None:
    """Always raises: Celery's way to say what becomes of a message."""
    log.warning("scan_retried", reason=again.reason, delay_s=round(again.delay_s, 1))
    headers = {**(task.request.headers or {}), HEADER: again.tries.header()}
    try:
        task.retry(exc=ScanFailed(again.reason), countdown=again.delay_s, headers=headers)
    except Reject as error:
        # The new message could not be sent. Celery would drop the old one with it.
        raise Reject(error.reason, requeue=True) from None


def _teller(task: Task, scan_id: ScanId) -> Report:
    """Tells of progress in the task's state and by an event of Celery's, which is what Flower shows."""

    away_until = 0.0

    def tell(stage: Stage, done: int, frames: int | None) -> None:
        nonlocal away_until
        # A Redis that does not answer would hold up each frame of a scan until its time is over.
        if time.monotonic() < away_until:
            return
        about = {"scan_id": scan_id, "stage": stage.value, "frame": done, "frames": frames}
        text = f"{stage.value}: frame {done} of {frames}" if stage is Stage.ANALYSE else stage.value
        try:
            task.update_state(state="PROGRESS", meta=about)
            # Flower lists a task's `result`, and takes `progress` in `task-progress` for its state.
            task.send_event("task-progress", result=text, **about)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # of any broker and result store there is
            away_until = time.monotonic() + AWAY_S
            log.warning("progress_not_told", error=type(error).__name__)

    return tell


def _summary(scan_id: ScanId, outcome: Outcome) -> dict[str, Any]:
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
