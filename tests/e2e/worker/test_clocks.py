"""Workers and announcers whose clocks are wrong, over one Redis: libfaketime changes what a process sees."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.running import World, wait_until

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def wrong_clock(ahead_s: float) -> dict[str, str]:
    """Return the environment of a process whose clock is so many seconds ahead."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: sudo apt install faketime")
    # The clocks that only count on stay as they are: timeouts are not what is wrong.
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{ahead_s:+.0f}", "DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def world(tmp_path, redis_server) -> World:
    [url] = redis_server.emptied(12)
    more = {"LOCK_TTL_S": "6", "QUEUE_LEASE_S": "60", "RETRY_BASE_S": "1", "INCOMPLETE_S": "60"}
    return World(tmp_path, {"CELERY_BROKER_URL": url, **more})


@pytest.mark.parametrize("ahead_s", [-HOUR_S, HOUR_S, DAY_S])
def test_a_worker_with_a_wrong_clock_does_scans_and_retries(world, redis_server, make_scan, ahead_s):
    files = make_scan(frames=1)
    with world.start_worker("-c", "1", **wrong_clock(ahead_s)) as worker:
        worker.wait_for_event("worker_ready")
        world.put_scan("scan", files)
        world.enqueue("scan")
        world.wait_for("scan", "completed")
        # A retried scan: its files come later.
        world.enqueue("late")
        wait_until(lambda: world.status("late").get("attempt", 0) > 1, "a retry")
        world.put_scan("late-elsewhere", files)
        (world.folder / "scans" / "late-elsewhere").rename(world.folder / "scans" / "late")  # all at once
        world.wait_for("late", "completed")
        skew = worker.events("clock_skew")
        assert skew
        assert abs(skew[0]["ahead_s"] - ahead_s) < 60
        with redis_server.client(12) as client:
            wait_until(lambda: client.zcard("pose:open") == 0, "all scans to be closed")
    finished = datetime.fromisoformat(world.status("late")["finished_at"])
    assert abs(time.time() - finished.timestamp()) < 600


@pytest.mark.parametrize("ahead_s", [-DAY_S, DAY_S])
def test_an_announcer_with_a_wrong_clock_gets_its_scans_sent_again(world, redis_server, make_scan, ahead_s):
    world.put_scan("scan", make_scan(frames=1))
    done = world.call("worker", "enqueue", "scan", **wrong_clock(ahead_s))
    assert done.returncode == 0
    assert "clock_skew" in done.stderr
    with redis_server.client(12) as client:
        [(_, deadline)] = client.zrange("pose:open", 0, -1, withscores=True)
        assert abs(deadline - time.time() - 60) < 60
        client.delete("celery")  # the message is lost
        client.zadd("pose:open", {"scan": time.time() - 1})
    assert "scan: queued again" in world.call("worker", "reconcile", **wrong_clock(ahead_s)).stdout
    with world.start_worker("-c", "1"):
        world.wait_for("scan", "completed")


def test_a_process_sees_the_wrong_time(world):
    done = world.call("timeit", "-n1", "-r1", "-s", "import time", "print(time.time())", **wrong_clock(DAY_S))
    assert float(done.stdout.splitlines()[0]) > time.time() + DAY_S / 2
