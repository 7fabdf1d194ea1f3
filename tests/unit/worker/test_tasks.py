"""The task in this process, with Celery's eager mode; with a real broker it is in test_worker_process.py."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import signals, states
from celery.exceptions import Reject, Retry
from celery.result import EagerResult

from tests.support.estimators import FindsNobody
from worker import app, tasks
from worker.config.settings import Settings, read_settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.scans import self_check
from worker.scans.failures import ScanFailed
from worker.scans.process import Outcome, process
from worker.scans.retry import RetryLater, RetryState
from worker.scans.self_check import ProcessUnfit
from worker.storage.base import StorageUnavailable
from worker.storage.opening import open_storages

SCAN = ScanId("scan")

PERSON = "Zoe-1234"


@pytest.fixture
def settings(here, monkeypatch) -> Settings:
    settings = read_settings(retry_base_s=0, max_attempts=3, arrivals_quiet_s=0, incomplete_s=0)
    monkeypatch.setattr(tasks, "load_settings", lambda: settings)
    return settings


@pytest.fixture
def estimator(monkeypatch) -> FindsNobody:
    estimator = FindsNobody()
    monkeypatch.setattr(tasks, "get_estimator", lambda _: estimator)
    monkeypatch.setattr(self_check, "get_estimator", lambda _: FindsNobody())
    return estimator


@pytest.fixture(autouse=True)
def _states_in_memory(monkeypatch) -> None:
    """Eager tasks store no states; nothing may look for the app's result store in the current folder."""
    monkeypatch.setitem(app.conf, "result_backend", "cache+memory://")


@pytest.fixture
def scan(here, make_scan) -> Path:
    folder: Path = here / "scans" / "scan"
    for name, data in make_scan(frames=2, person=PERSON).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def told(monkeypatch) -> list[tuple[Any, ...]]:
    """The states and events of progress, as they are sent."""
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks.process_scan, "update_state", lambda state, meta: told.append((state, meta)))
    monkeypatch.setattr(tasks.process_scan, "send_event", lambda type, **fields: told.append((type, fields)))
    return told


@pytest.fixture
def run(settings, estimator, told) -> Callable[..., EagerResult]:
    def run(*args: Any, **kwargs: Any) -> EagerResult:
        return tasks.process_scan.apply(args, kwargs)

    return run


def status(here: Path, scan_id: str = "scan") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((here / "results" / scan_id / "status.json").read_text())
    return found


def test_the_task_has_the_name_that_others_send_to():
    assert app.tasks["worker.process_scan"] is tasks.process_scan._get_current_object()


def test_the_answer_holds_the_main_values_of_the_result(run, scan, here):
    answer = run(scan_id="scan")
    assert answer.state == states.SUCCESS
    assert answer.result == {
        "scan_id": "scan",
        "status": "completed",
        "posture": "unknown",
        "body_length_m": None,
        "frames_used": 0,
        "verdict": "repeat",
        "frames": 2,
        "repeated": False,
    }
    assert (here / "results" / "scan" / "result.json").is_file()
    found = status(here)
    assert (found["status"], found["frames_done"], found["frames"]) == ("completed", 2, 2)
    assert (found["attempt"], found["reason"]) == (1, None)


def test_with_report_a_page_lies_beside_the_result(run, scan, here, settings, monkeypatch):
    run(scan_id="scan")
    assert not (here / "results" / "scan" / "report.html").exists()
    monkeypatch.setattr(tasks, "load_settings", lambda: settings.model_copy(update={"report": True}))
    assert run(scan_id="scan").result["repeated"]
    page = (here / "results" / "scan" / "report.html").read_text()
    assert "Scan again" in page and PERSON not in page


def test_an_arrival_may_be_an_object(run, scan):
    assert run({"scan_id": "scan"}).result["status"] == "completed"


def test_a_scan_that_is_done_is_answered_at_once(run, scan, estimator, here):
    run(scan_id="scan")
    assert run(scan_id="scan").result["repeated"]
    assert estimator.calls == 1
    assert status(here)["status"] == "completed"


def test_force_analyses_it_anew(run, scan, estimator):
    run(scan_id="scan")
    assert not run(scan_id="scan", force=True).result["repeated"]
    assert estimator.calls == 2


@pytest.mark.parametrize("asked", [{"force": 1}, {"force": "yes"}, {"resent": None}])
def test_flags_must_be_true_or_false(run, scan, here, asked):
    answer = run(scan_id="scan", **asked)
    assert isinstance(answer.result, ScanFailed)
    assert "true or false" in str(answer.result)
    assert not (here / "results").exists()


def test_a_message_that_was_sent_again_does_not_run_a_failed_scan_again(run, scan, here, estimator):
    for path in (scan / "depth").iterdir():
        path.unlink()
    run(scan_id="scan")
    failed = status(here)
    answer = run(scan_id="scan", resent=True)
    assert str(answer.result) == failed["reason"]
    assert status(here) == failed


def test_scans_are_reconciled_by_a_task(settings, scan, here, monkeypatch):
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(tasks, "sender", lambda _: sent.append)
    open_ledger(settings).set_deadline(SCAN, 1.0)
    assert app.tasks["worker.reconcile"].apply().state == states.SUCCESS
    assert sent == [{"scan_id": "scan", "resent": True}]
    open_ledger(settings).set_deadline(SCAN, 1e12)
    app.tasks["worker.reconcile"].apply(kwargs={"restart": True})
    assert len(sent) == 2


@pytest.mark.parametrize(("broker", "asked"), [(None, [{"restart": True}]), ("redis://127.0.0.1:1/0", [])])
def test_after_a_restart_only_the_queue_in_files_is_sent_again(here, monkeypatch, broker, asked):
    found: list[dict[str, object]] = []
    values = {} if broker is None else {"broker_url": broker}
    monkeypatch.setattr(tasks, "load_settings", lambda: read_settings(**values))
    monkeypatch.setattr(tasks.reconcile_scans, "apply_async", lambda kwargs: found.append(kwargs))
    signals.worker_ready.send(sender=None)
    assert found == asked


def test_progress_is_told_by_state_and_by_event(run, scan, told):
    run(scan_id="scan")
    state, meta = told[2]
    assert (state, meta) == (
        "PROGRESS",
        {"scan_id": "scan", "stage": "analyse", "frame": 0, "frames": 2},
    )
    assert told[3] == ("task-progress", {"result": "analyse: frame 0 of 2", **meta})
    # Within a stage it is told once a second.
    assert [fields["result"] for kind, fields in told if kind == "task-progress"] == [
        "fetch",
        "analyse: frame 0 of 2",
        "publish",
    ]


def test_progress_that_cannot_be_reported_fails_no_scan(run, scan, monkeypatch):
    tried = []

    def away(**told: object) -> None:
        tried.append(told)
        raise ConnectionError

    monkeypatch.setattr(tasks.process_scan, "update_state", away)
    assert run(scan_id="scan").result["status"] == "completed"
    assert len(tried) == 1  # each may take as long as a server that does not answer lets it


def test_the_time_limit_counts_while_progress_is_reported(run, scan, monkeypatch):
    def out_of_time(**_: object) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(tasks.process_scan, "update_state", out_of_time)
    assert str(run(scan_id="scan").result) == "it took longer than the time limit"


@pytest.mark.parametrize("scan_id", ["../etc", "a/b", "", "scan\n", None, 3])
def test_an_invalid_id_is_refused_and_makes_no_key(run, here, scan_id):
    answer = run(scan_id=scan_id)
    assert isinstance(answer.result, ScanFailed)
    assert "1 to 128 letters" in str(answer.result)
    assert not (here / "results").exists()


def test_an_invalid_scan_fails_with_its_reason_and_is_not_tried_again(run, scan, here, estimator):
    for path in (scan / "depth").iterdir():
        path.write_bytes(b"not a ZIP")
    answer = run(scan_id="scan")
    assert isinstance(answer.result, ScanFailed)
    found = status(here)
    assert (found["status"], found["attempt"]) == ("failed", 1)
    assert found["reason"] == str(answer.result)
    assert "depth of frame" in found["reason"]
    assert PERSON not in found["reason"]
    assert found["finished_at"] is not None
    assert estimator.calls == 0


def test_a_scan_that_is_not_there_fails(run, here):
    (here / "scans").mkdir()
    assert isinstance(run(scan_id="nothing").result, ScanFailed)
    assert status(here, "nothing")["reason"] == "the storage of scans holds no files of this scan"


def test_storage_that_is_away_is_tried_again_until_it_is_there(run, scan, settings, here, monkeypatch):
    results = open_storages(settings)[1]
    write, failures = results.write, iter([True, True])
    seen = []

    def fail_twice(key: str, data: bytes, content_type: str) -> None:
        if key.endswith("status.json"):
            seen.append(json.loads(data))
        if key.endswith("result.json") and next(failures, False):
            raise StorageUnavailable("the storage of results: it is full")
        write(key, data, content_type)

    monkeypatch.setattr(results, "write", fail_twice)
    answer = run(scan_id="scan")
    assert answer.state == states.SUCCESS
    assert status(here)["attempt"] == 3
    queued = [each for each in seen if each["status"] == "queued"]
    assert [(each["attempt"], each["reason"]) for each in queued] == [
        (1, "the storage of results: it is full"),
        (2, "the storage of results: it is full"),
    ]


def test_if_a_retry_cannot_be_sent_the_message_stays_in_the_queue(monkeypatch):
    task = tasks.process_scan

    def no_broker(**_: object) -> None:
        raise Reject(ConnectionError(), requeue=False)

    monkeypatch.setattr(task, "retry", no_broker)
    with pytest.raises(Reject) as error:
        tasks._retry(task, RetryLater("away", 1.0, RetryState(attempt=2)))
    assert error.value.requeue


def test_a_retry_waits_for_the_delay(monkeypatch):
    task = tasks.process_scan
    monkeypatch.setattr(task.request, "called_directly", False)
    monkeypatch.setattr(task.request, "headers", {"theirs": "kept", "pose_tries": [1, 1, None]})
    monkeypatch.setattr(task, "signature_from_request", lambda *_, **options: Sent(options))

    class Sent:
        def __init__(self, options: dict[str, Any]) -> None:
            assert options["countdown"] == 7.5
            assert options["headers"] == {"pose_tries": [2, 1, 5.0, 0, None], "theirs": "kept"}

        def apply_async(self) -> None: ...

    with pytest.raises(Retry):
        tasks._retry(task, RetryLater("away", 7.5, RetryState(2, 1, 5.0)))


def test_an_unexpected_error_fails_the_scan_and_is_named_only_by_its_type(run, scan, here, monkeypatch):
    def fault(*_: object, **__: object) -> None:
        raise KeyError(f"rgb_{PERSON}_1622182020448_100_1.jpg")

    monkeypatch.setattr(tasks, "process", fault)
    answer = run(scan_id="scan")
    assert isinstance(answer.result, ScanFailed)
    found = status(here)
    assert (found["reason"], found["attempt"]) == ("unexpected error: KeyError", 2)
    assert PERSON not in answer.traceback


def test_where_the_process_does_not_work_the_message_is_kept(run, scan, here, monkeypatch, settings):
    checks, reports = [], []

    def check(_: Settings) -> None:
        checks.append(1)
        if len(checks) <= 5:
            raise ProcessUnfit("it cannot analyse the built-in scan: AcceleratorError")

    def fault(*arguments: Any, **options: Any) -> Outcome:
        if len(checks) < 5:
            raise KeyError("a")
        return process(*arguments, **options)

    monkeypatch.setattr(tasks, "check_process", check)
    monkeypatch.setattr(tasks, "process", fault)
    monkeypatch.setattr(tasks, "send_report", lambda kind, reason="": reports.append(kind.value))
    assert run(scan_id="scan").state == states.SUCCESS  # after more tries than `max_attempts`
    assert reports == [*["unfit", "failed"] * 5, "done"]
    assert status(here)["attempt"] == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("x"), LookupError("y")])
def test_whatever_goes_wrong_a_message_is_kept_while_no_final_status_is_written(
    run, scan, here, monkeypatch, error
):
    failures = iter([True, True, False])
    ended = tasks.Attempt.run

    def fail(attempt: tasks.Attempt) -> Outcome:
        if next(failures):
            raise error
        return ended(attempt)

    monkeypatch.setattr(tasks.Attempt, "run", fail)
    assert run(scan_id="scan").state == states.SUCCESS
    assert status(here)["status"] == "completed"
