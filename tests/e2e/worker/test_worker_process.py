"""The real worker in its own process: over the embedded default, and over Redis and S3."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery

import pose
from pose.synthetic.scan_writer import write_scan
from tests.support.running import PATIENCE_S, Running, World, wait_until
from tests.support.s3_server import Ports
from tests.support.scrambled import KEY, plain_record, scrambled_record

PERSON = "Zoe-1234"
MANY_FRAMES = 40  # a scan that takes some seconds


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> World:
    """Nothing is configured."""
    return World(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, redis_server, s3_server, bucket) -> World:
    """Redis and S3."""
    place = f"s3://{bucket}/{uuid.uuid4()}"
    tasks, answers = redis_server.emptied(0, 1)
    return World(
        tmp_path_factory.mktemp("served"),
        {
            "CELERY_BROKER_URL": tasks,
            "CELERY_RESULT_BACKEND": answers,
            "SCANS_URL": f"{place}/scans",
            "RESULTS_URL": f"{place}/results",
            "RETRY_BASE_S": "0.2",
            "LOCK_TTL_S": "6",  # the lock of a killed process ends then
            **s3_server.environment,
        },
    )


@pytest.fixture(scope="module", params=["embedded", "served"])
def world(request) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def worker(world) -> Iterator[Running]:
    """One for all tests that leave it as it is. One of them needs the key."""
    with world.start_worker(SCANS_XOR_KEY=KEY.hex()) as worker:
        worker.wait_for_event("process_ready")
        yield worker


@pytest.fixture(scope="module")
def client(world) -> Iterator[Celery]:
    """A producer with none of our code."""
    queue = f"{world.folder}/.run/broker/queue"
    app = Celery(
        "client",
        broker=world.environment.get("CELERY_BROKER_URL", "filesystem://localhost"),
        backend=world.environment.get("CELERY_RESULT_BACKEND", f"file://{world.folder}/.run/states"),
        set_as_current=False,
    )
    if "CELERY_BROKER_URL" not in world.environment:
        app.conf.broker_transport_options = {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": f"{world.folder}/.run/broker/control",
        }
    yield app
    # An answer that goes away unsubscribes from Redis; without a Redis it would try for half a minute, at
    # whatever moment it is collected.
    gc.collect()
    app.close()


def library_result(files: dict[str, bytes], scan_id: str) -> dict[str, Any]:
    scan = pose.read_scan_files(files)
    result = pose.analyse_scan(scan, pose.load_estimator("depth-hrnet", "cpu"), scan_id=scan_id).result
    return without_times(result.model_dump(mode="json"))


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    frames = [{**frame, "timings_ms": None} for frame in result["frames"]]
    return {**result, "frames": frames, "timings_ms": None}


def test_a_scan_goes_through_the_worker_with_the_results_of_the_library(world, worker, make_scan):
    files = make_scan(frames=3, person=PERSON)
    world.put_scan("scan-1", files)
    world.enqueue("scan-1")
    done = world.call("worker", "watch", "scan-1")
    assert done.returncode == 0, done.stdout
    result = world.json("scan-1/result.json")
    assert result is not None
    assert without_times(result) == library_result(files, "scan-1")
    status = world.status("scan-1")
    assert (status["status"], status["frames_done"], status["frames"]) == ("completed", 3, 3)
    assert status["queued_at"] < status["started_at"] < status["finished_at"]
    stored = {each.key for each in world.results.objects("scan-1", 1000)}
    assert {"scan-1/result.json", "scan-1/status.json"} < stored
    assert {f"scan-1/frames/{order}/pose.json" for order in range(3)} < stored


def test_so_does_a_scan_that_is_stored_scrambled(world, worker, make_scan):
    files = make_scan(frames=1)
    world.put_scan("scrambled", scrambled_record(files))
    world.enqueue("scrambled")
    world.wait_for("scrambled", "completed")
    result = world.json("scrambled/result.json")
    assert result is not None
    assert without_times(result) == library_result(plain_record(files), "scrambled")
    assert KEY.hex() not in worker.log() and repr(KEY) not in worker.log()


def test_so_does_a_real_scan(world, worker, plush):
    files = {str(path.relative_to(plush)): path.read_bytes() for path in plush.rglob("*") if path.is_file()}
    world.put_scan("plush", files)
    world.enqueue("plush")
    world.wait_for("plush", "completed")
    result = world.json("plush/result.json")
    assert result is not None
    assert without_times(result) == library_result(files, "plush")


def test_a_rendered_child_has_the_same_results_from_the_worker_and_from_pose_run(world, worker, tmp_path):
    folder = write_scan(tmp_path / "rendered", 900_003, "standing", frames=2, second_person=False)
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    world.put_scan("rendered", {str(name): (folder / name).read_bytes() for name in names})
    world.enqueue("rendered")
    world.wait_for("rendered", "completed")
    done = world.call("pose", "run", str(folder), "--out", str(tmp_path / "out"), "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr

    alone = json.loads((tmp_path / "out/rendered/result.json").read_text())
    assert alone["posture"] == "standing"
    assert without_times(world.json("rendered/result.json")) == without_times(alone)
    for order in (0, 1):
        for name in ("blurred.jpg", "overlay.jpg", "skeleton.obj"):
            key = f"rendered/frames/{order}/{name}"
            assert world.results.read(key, 10**8) == (tmp_path / "out" / key).read_bytes()


def test_a_producer_with_none_of_our_code_is_answered(world, worker, client, make_scan):
    world.put_scan("scan-2", make_scan(frames=1))
    answer = client.send_task("worker.process_scan", kwargs={"scan_id": "scan-2"}).get(timeout=PATIENCE_S)
    assert (answer["scan_id"], answer["status"], answer["repeated"]) == ("scan-2", "completed", False)
    again = client.send_task("worker.process_scan", args=[{"scan_id": "scan-2"}]).get(timeout=PATIENCE_S)
    assert again == {**answer, "repeated": True}


def test_and_is_told_why_a_scan_failed(world, worker, client):
    answer = client.send_task("worker.process_scan", kwargs={"scan_id": "nothing-there"})
    reason = "the storage of scans holds no files of this scan"
    with pytest.raises(Exception, match=reason) as error:
        answer.get(timeout=PATIENCE_S)
    assert type(error.value).__name__ == "ScanFailed"
    status = world.status("nothing-there")
    assert (status["status"], status["reason"], status["attempt"]) == ("failed", reason, 1)


def test_a_task_that_waits_tells_its_state(world, worker, client, make_scan):
    world.put_scan("scan-3", make_scan(frames=MANY_FRAMES))
    answer = client.send_task("worker.process_scan", kwargs={"scan_id": "scan-3"})
    seen = wait_until(lambda: answer.state == "PROGRESS" and answer.info, "progress")
    assert seen["scan_id"] == "scan-3"
    assert seen["stage"] in ("fetch", "analyse")
    world.wait_for("scan-3", "completed")


def test_celerys_own_commands_work(world, worker):
    assert world.ping().returncode == 0

    def registered() -> bool:
        return "worker.process_scan" in world.call("celery", "-A", "worker", "inspect", "registered").stdout

    wait_until(registered, "an answer")


def test_flower_shows_scans_and_their_progress(world, worker, make_scan):
    world.put_scan("flower", make_scan(frames=MANY_FRAMES))
    ports = Ports()
    url = f"http://127.0.0.1:{ports.first}/api/tasks"
    options = ("--address=127.0.0.1", f"--port={ports.first}")
    # Its API is closed without a password; here nobody else can reach it.
    with world.start("celery", "-A", "worker", "flower", *options, FLOWER_UNAUTHENTICATED_API="1") as flower:

        def tasks() -> dict[str, dict[str, Any]]:
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                    listed = json.load(answer).values()
            except OSError:
                return {}
            return {task["kwargs"]: task for task in listed}

        def shown(state: str) -> dict[str, Any] | None:
            task = tasks().get("{'scan_id': 'flower'}")
            return task if task and task["state"] == state else None

        def listens() -> bool:
            world.enqueue("nothing-for-flower")
            time.sleep(0.5)
            return bool(tasks())

        wait_until(listens, "Flower to listen")
        world.enqueue("flower")
        in_progress = wait_until(lambda: shown("PROGRESS"), "progress in Flower")
        assert re.fullmatch(rf"fetch|publish|analyse: frame [0-9]+ of {MANY_FRAMES}", in_progress["result"])
        done = wait_until(lambda: shown("SUCCESS"), "success in Flower")
        assert "'status': 'completed'" in done["result"]

        def ended() -> bool:
            """It raises SystemExit wherever the signal finds it; in some callbacks of Python that is lost."""
            flower.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                flower.process.wait(10)
            return flower.process.poll() is not None

        wait_until(ended, "Flower to end")
        assert flower.alive() == []
    ports.release()


def test_watch_shows_scans_that_others_announce(world, worker, make_scan):
    world.put_scan("watched", make_scan(frames=1))
    with world.start("worker", "watch") as lines, world.start("worker", "watch", "--json") as objects:
        world.enqueue("watched")
        wait_until(lambda: "watched: completed" in lines.log(), "a line about the end")
        wait_until(lambda: '"outcome": "completed"' in objects.log(), "an object about the end")
        assert [each.stop(signal.SIGINT) for each in (lines, objects)] == [0, 0]
    told = [json.loads(line) for line in objects.log().splitlines()]
    ours = [each for each in told if each["scan_id"] == "watched"]
    assert [each["status"] for each in ours if each["status"] != "progress"] == [
        "queued",
        "started",
        "completed",
    ]
    assert ours[-1]["verdict"] in ("good", "usable", "repeat")
    assert ours[-1]["age_s"] > 0


def test_the_log_names_scans_and_no_person(world, worker):
    events = worker.events("scan_completed")
    assert "scan-1" in {event["scan_id"] for event in events}
    assert all({"scan_id", "attempt", "task_id", "timestamp"} <= set(event) for event in events)
    assert PERSON not in worker.log()


def test_nothing_is_left_in_the_current_folder_but_what_is_ours(world, worker):
    names = {path.name for path in world.folder.iterdir() if path.suffix != ".log"}
    assert names <= {"scans", "results", ".run"}
    if "CELERY_BROKER_URL" in world.environment:
        assert {path.name for path in (world.folder / ".run").iterdir()} <= {"health"}


# Celery's own exit codes: after Ctrl-C it says 1.
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_worker_that_is_asked_to_end_leaves_no_process(embedded, signum, code):
    with embedded.start_worker("-n", "w1@%h") as worker:
        worker.wait_for_event("process_ready")
        assert worker.children()
        assert worker.stop(signum) == code
        assert worker.alive() == []


def test_a_worker_that_is_killed_leaves_no_process(embedded):
    with embedded.start_worker("-n", "w3@%h") as worker:
        worker.wait_for_event("process_ready")
        worker.process.kill()
        wait_until(lambda: not worker.alive(), "its children to end")


def test_a_process_that_is_killed_while_it_waits_is_replaced(embedded):
    with embedded.start_worker("-n", "w7@%h", "-Q", "w7") as worker:
        worker.wait_for_event("process_ready")
        (child,) = worker.children()
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: worker.children() not in ([], [child]), "another process")
        assert worker.stop() == 0
        assert worker.alive() == []


def test_a_scan_whose_process_dies_is_done_by_the_next_one(world, worker, make_scan):
    world.put_scan("killed", make_scan(frames=MANY_FRAMES))
    (child,) = worker.children()
    world.enqueue("killed")
    world.wait_for("killed", "progress")
    os.kill(child, signal.SIGKILL)
    world.wait_for("killed", "completed")
    assert child not in worker.children()
    assert world.json("killed/result.json") is not None


NO_DEVICE = ({"DEVICE": "cuda:63"}, "device 'cuda:63' was demanded, but torch sees")
NO_MODEL = ({"MODEL": "hrnet-w1"}, "unknown model 'hrnet-w1', expected one of")
NO_WEIGHTS = ({"MODEL": "hrnet-w48-384x288"}, "the weights of hrnet-w48-384x288 are not there: run `pose")


@pytest.mark.parametrize(("environment", "reason"), [NO_WEIGHTS, NO_MODEL, NO_DEVICE])
def test_a_worker_that_cannot_start_says_why_and_ends(embedded, environment, reason):
    with embedded.start_worker("-n", "w5@%h", **environment) as worker:
        assert worker.process.wait(PATIENCE_S) == 78
        assert worker.alive() == []
    told = worker.events("cannot_start")
    assert told
    assert told[0]["reason"].startswith(reason)
    assert "Traceback" not in worker.log()


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_pool_that_keeps_no_limits_is_refused(embedded, pool):
    done = embedded.call("celery", "-A", "worker", "worker", "--pool", pool, LOG_FORMAT="json")
    assert done.returncode == 1
    (told,) = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "critical"]
    assert "(--pool) is not supported: leave out --pool for prefork" in told["reason"]
    assert "Traceback" not in done.stderr


def test_settings_that_are_wrong_are_said_without_a_traceback(embedded):
    done = embedded.call(
        "celery", "-A", "worker", "worker", DEVICE="gpu", RESULTS_URL="nowhere", SCANS_XOR_KEY="hunter2"
    )
    assert done.returncode == 1
    assert "DEVICE: must be auto, cpu, cuda or cuda:N" in done.stderr
    assert "RESULTS_URL: must start with file:// or s3://" in done.stderr
    assert "SCANS_XOR_KEY: an XOR key of 7 characters" in done.stderr and "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_storage_that_comes_back_is_waited_for(served, s3_server, make_scan):
    served.put_scan("waits", make_scan(frames=1))
    with served.start_worker("-n", "w6@%h") as worker:
        worker.wait_for_event("process_ready")
        s3_server.stop_gateway()
        try:
            client = Celery("client", broker=served.environment["CELERY_BROKER_URL"], set_as_current=False)
            client.send_task("worker.process_scan", kwargs={"scan_id": "waits"}, ignore_result=True)
            told = worker.wait_for_event("scan_retried")
        finally:
            s3_server.start_gateway()
        assert told["reason"] == "the storage of results: it cannot be reached (EndpointConnectionError)"
        status = served.wait_for("waits", "completed")
        assert status["attempt"] > 1


def test_importing_the_app_reads_and_makes_nothing(tmp_path):
    done = World(tmp_path).call("worker", "--help", DEVICE="gpu", SCANS_URL="nowhere")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
