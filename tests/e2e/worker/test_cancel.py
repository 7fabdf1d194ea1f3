"""Cancelling scans that wait, that are worked on and that are retried, by our command and by Celery's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.running import Running, World, wait_until

# An app whose processes report again and again, in a scan of several frames, until a file is there.
SLOW = """
import time
from pathlib import Path
from worker import app, tasks

process = tasks.process

def process_slowly(scan_id, scans, results, estimator, limits, report, **options):
    def report_and_wait(stage, done, frames):
        report(stage, done, frames)
        while (frames or 0) > 1 and not Path("go").exists():
            time.sleep(0.05)
            report(stage, done, frames)
    return process(scan_id, scans, results, estimator, limits, report_and_wait, **options)

tasks.process = process_slowly
"""


@pytest.fixture(scope="module", params=["files", "redis"])
def world(request, tmp_path_factory, make_scan) -> World:
    environment = {}
    if request.param == "redis":
        tasks, answers = request.getfixturevalue("redis_server").emptied(12, 13)
        environment = {"CELERY_BROKER_URL": tasks, "CELERY_RESULT_BACKEND": answers}
    environment["LOCK_TTL_S"] = "3"
    world = World(tmp_path_factory.mktemp("cancel"), environment)
    (world.folder / "slow.py").write_text(SLOW)
    for scan_id in ("running", "revoked", "terminated", "killed", "waiting", "purged", "purged-too", "good"):
        world.put_scan(scan_id, make_scan(frames=1 if scan_id == "good" else 2))
    return world


@pytest.fixture(scope="module")
def worker(world) -> Iterator[Running]:
    with world.start("celery", "-A", "slow", "worker", "-n", "cancel@%h") as worker:
        worker.wait_for_event("worker_ready")
        yield worker


def control(world: World, *command: str) -> None:
    done = world.call("celery", "-A", "worker", *command)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_cancelled(world: World, scan_id: str) -> None:
    world.wait_for(scan_id, "cancelled")
    found = world.results.objects(scan_id, 100)
    assert [each.key for each in found] == [f"{scan_id}/status.json"]
    # Neither its message nor a sweep brings it back.
    assert "queued" not in world.call("worker", "reconcile", "--all").stdout
    assert world.status(scan_id)["status"] == "cancelled"
    assert world.call("worker", "status", scan_id).returncode == 1


def test_a_running_scan_ends_at_its_next_step_and_the_next_one_is_taken(world, worker):
    world.enqueue("running", "waiting")
    world.wait_for("running", "progress")
    done = world.call("worker", "cancel", "waiting", "running")
    assert (done.returncode, done.stdout) == (0, "waiting: cancelled\nrunning: cancelled\n")
    assert_cancelled(world, "running")
    assert_cancelled(world, "waiting")
    # It is the message of the cancelled scan that finds its status.
    world.enqueue("good")
    world.wait_for("good", "completed")
    assert world.status("waiting")["attempt"] == 0


def test_a_scan_whose_task_is_terminated_is_cancelled(world, worker):
    world.enqueue("terminated")
    task_id = world.wait_for("terminated", "progress")["task_id"]
    control(world, "control", "terminate", "SIGTERM", task_id)
    assert_cancelled(world, "terminated")


def test_a_scan_whose_process_is_killed_by_terminate_is_cancelled(world, worker):
    world.enqueue("killed")
    task_id = world.wait_for("killed", "progress")["task_id"]
    control(world, "control", "terminate", "SIGKILL", task_id)
    assert_cancelled(world, "killed")


def test_a_scan_whose_task_is_revoked_while_it_waits_is_cancelled(world, worker):
    world.enqueue("running")
    world.wait_for("running", "progress")
    task_id = "a-task-of-a-producer"
    code = (
        "from worker.app import app;"
        f"app.send_task('worker.process_scan', kwargs={{'scan_id': 'revoked'}}, task_id='{task_id}')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=world.folder, env=world.environment, check=True)
    control(world, "control", "revoke", task_id)
    assert world.call("worker", "cancel", "running").returncode == 0
    assert_cancelled(world, "revoked")


def test_purged_scans_are_cancelled(world, worker):
    world.enqueue("running")
    world.wait_for("running", "progress")
    world.enqueue("purged", "purged-too")
    done = world.call("celery", "-A", "worker", "purge", "-f")
    assert "2 messages" in done.stdout or "1 message" in done.stdout, done.stdout + done.stderr
    assert world.call("worker", "cancel", "running").returncode == 0
    assert_cancelled(world, "purged-too")


def test_a_cancelled_scan_that_is_announced_again_is_analysed(world, worker):
    (world.folder / "go").touch()
    world.enqueue("running")
    world.wait_for("running", "completed")
    done = world.call("worker", "cancel", "running")
    assert (done.returncode, done.stdout) == (0, "running: finished before\n")
    assert world.status("running")["status"] == "completed"
    wait_until(lambda: world.status("terminated")["status"] == "cancelled", "the others to stay as they are")
