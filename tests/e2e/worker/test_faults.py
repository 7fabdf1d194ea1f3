"""Real workers on machines with faults: no scan fails for them, and none is lost."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.support.running import Running, World, wait_until
from worker.runtime.reports import MAX_UNFIT

APP = "tests.support.faulty_app"
QUICK = {"RETRY_BASE_S": "0.2", "LOCK_TTL_S": "6"}


@pytest.fixture
def world(tmp_path, redis_server) -> World:
    tasks, answers = redis_server.emptied(10, 11)
    return World(tmp_path, {**QUICK, "CELERY_BROKER_URL": tasks, "CELERY_RESULT_BACKEND": answers})


def start(world: World, name: str, **environment: str) -> Running:
    return world.start("celery", "-A", APP, "worker", "-n", f"{name}@%h", **environment)


def put(world: World, make_scan, count: int, prefix: str = "scan") -> list[str]:
    names = [f"{prefix}-{number}" for number in range(count)]
    files = make_scan(frames=1)
    for name in names:
        world.put_scan(name, files)
    return names


def all_completed(world: World, names: list[str]) -> None:
    for name in names:
        status = world.wait_for(name, "completed", "failed")
        assert status["status"] == "completed", status
        assert status["attempt"] == 1, status


def test_a_worker_with_a_broken_device_stops_and_the_other_does_all_scans(world, make_scan):
    names = put(world, make_scan, 12)
    with start(world, "broken", FAULT="device") as broken:
        broken.wait_for_event("worker_ready")
        world.enqueue(*names)
        stopped = broken.wait_for_event("worker_takes_no_scans")
        assert "AcceleratorError" in stopped["reason"]
        with world.start_worker("-n", "good@%h") as good:
            all_completed(world, names)
            wait_until(lambda: len(good.events("scan_completed")) == len(names), "all of them in its log")
        # The last process may have got one more message, which it had waited for.
        assert len(broken.events("self_check_failed")) <= MAX_UNFIT + 1
        assert broken.process.poll() is None
        assert not broken.events("scan_failed")


@pytest.mark.parametrize("fault", ["device", "threads", "descriptors"])
def test_a_process_that_does_not_work_any_more_is_replaced(world, make_scan, fault):
    names = put(world, make_scan, 3)
    with start(world, "mended", FAULT=fault, FAULT_PROCESSES="1") as worker:
        world.enqueue(*names)
        all_completed(world, names)
        assert len(worker.events("process_ready")) == 2
        assert len(worker.events("process_ends")) == 1
        assert not worker.events("worker_takes_no_scans")
        assert worker.stop() == 0
        assert "WorkerLostError" not in worker.log()


def test_a_scan_that_hits_a_bug_fails_in_two_processes_and_holds_up_no_other(world, make_scan):
    names = put(world, make_scan, 2)
    put(world, make_scan, 1, "odd")
    with start(world, "bug") as worker:
        world.enqueue("odd-0", *names)
        status = world.wait_for("odd-0", "failed")
        assert status["reason"] == "unexpected error: KeyError"
        all_completed(world, names)
        assert len(worker.events("unexpected_error")) == 2
        assert len(worker.events("process_ready")) == 2
        assert len(worker.events("self_check_passed")) == 4


@pytest.fixture
def s3_world(tmp_path, redis_server, s3_server, bucket) -> World:
    tasks, answers = redis_server.emptied(10, 11)
    place = f"s3://{bucket}/{uuid.uuid4()}"
    environment = {
        "CELERY_BROKER_URL": tasks,
        "CELERY_RESULT_BACKEND": answers,
        "SCANS_URL": f"{place}/scans",
        "RESULTS_URL": f"{place}/results",
    }
    return World(tmp_path, {**environment, **s3_server.environment})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"SCANS_URL": "s3://no-such-bucket/x"}, "the storage of scans: its bucket does not exist"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the storage of scans: our credentials were refused"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis (REDIS_URL, or the broker's) cannot be used"),
        ({"RESULTS_URL": "file:///dev/null/results"}, "the storage of results: Not a directory"),
        ({"SCANS_URL": "file:///nowhere/scans"}, "the storage of scans: its folder does not exist"),
    ],
    ids=["bucket", "secret", "redis", "results", "scans"],
)
def test_a_worker_whose_services_are_wrong_from_the_start_does_not_become_ready(s3_world, wrong, reason):
    with s3_world.start_worker("-n", "wrong@%h", **wrong) as worker:
        assert worker.wait_for_event("not_ready")["reason"].startswith(reason)
        s3_world.enqueue("scan")
        time.sleep(2)
        assert not worker.events("worker_ready")
        assert s3_world.status("scan")["status"] == "queued"
        assert worker.stop() == 0
        assert worker.alive() == []


def test_it_becomes_ready_once_they_are_there(world, tmp_path, make_scan):
    with world.start_worker("-n", "later@%h", SCANS_URL=f"file://{tmp_path}/scans") as worker:
        worker.wait_for_event("not_ready")
        names = put(world, make_scan, 1)
        worker.wait_for_event("worker_ready")
        world.enqueue(*names)
        all_completed(world, names)
        wait_until(lambda: worker.events("scan_completed"), "its end")
