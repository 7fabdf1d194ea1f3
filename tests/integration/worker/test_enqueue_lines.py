"""`python -m worker enqueue -` over a real Redis: ids from standard input."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.running import PATIENCE_S, unconfigured
from worker.broker.envelope import check_envelope
from worker.broker.waiting import scan_of
from worker.keys import ScanId
from worker.queue import SENT_AT
from worker.scans.tombstones import tombstone_key

MANY = 20_000


class Place:
    """A folder, an empty Redis, and the command."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.client: redis.Redis = redis.Redis.from_url(url)

    def enqueue(self, lines: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "worker", "enqueue", *options, "-"],
            cwd=self.folder,
            env={**unconfigured(), "CELERY_BROKER_URL": self.url},
            input=lines,
            capture_output=True,
            timeout=PATIENCE_S,
        )

    def queue(self) -> list[str]:
        """The scans in the queue, the oldest first."""
        found: list[str] = []
        for entry in reversed(self.client.lrange("celery", 0, -1)):
            found += scan_of(entry)
        return found

    def status(self, scan_id: str) -> dict[str, Any] | None:
        path = self.folder / "results" / scan_id / "status.json"
        return json.loads(path.read_text()) if path.exists() else None

    def put(self, key: str, text: str = "{}") -> None:
        path = self.folder / "results" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def many(self, *others: str) -> bytes:
        """Lines of more scans than are announced one by one, and others after them."""
        return "\n".join([*(f"many-{number}" for number in range(1000)), *others]).encode()


@pytest.fixture
def place(tmp_path, redis_server) -> Place:
    (tmp_path / "scans").mkdir()
    [url] = redis_server.emptied(11)
    return Place(tmp_path, url)


def test_lines_may_be_blank_and_of_windows_and_a_wrong_one_stops_no_other(place):
    lines = b"\xef\xbb\xbfone\r\n\r\n  two  \n../three\n\xff\xfe\n" + b"x" * 5000 + b"\nfour"
    done = place.enqueue(lines)
    assert done.returncode == 1
    assert done.stdout == b"one: queued\ntwo: queued\nfour: queued\n"
    assert sorted(place.queue()) == ["four", "one", "two"]
    refused = [line for line in done.stderr.decode().splitlines() if line.startswith("Error")]
    wrong = "a scan id is 1 to 128 letters (A-Z, a-z), digits, _ or -"
    assert refused == [f"Error: line {number}: {wrong}" for number in (4, 5, 6)]
    status = place.status("two")
    assert status is not None
    assert status["status"] == "queued"


def test_without_lines_nothing_is_done(place):
    done = place.enqueue(b"\n\r\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_dash_stands_alone(place):
    done = place.enqueue(b"one\n", "two")
    assert (done.returncode, b"give either scan ids, or -" in done.stderr) == (2, True)
    assert place.queue() == []


def test_a_broker_that_is_away_is_told(place, redis_server):
    ours = {**unconfigured(), "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "REDIS_URL": place.url}
    done = subprocess.run(
        [sys.executable, "-m", "worker", "enqueue", "-"],
        cwd=place.folder,
        env=ours,
        input=place.many(),
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"Error: the broker cannot be reached (CELERY_BROKER_URL)\n"


def test_many_scans_are_in_the_queue_in_seconds(place):
    lines = "".join(f"scan-{number}\n" for number in range(MANY)).encode()
    start, used = time.perf_counter(), os.times()
    done = place.enqueue(lines)
    seconds, cpu_s = time.perf_counter() - start, os.times().children_user - used.children_user
    print(f"{MANY} scans: {seconds:.1f} s, of which {cpu_s:.1f} s of one core")
    assert (done.returncode, done.stdout.count(b": queued\n")) == (0, MANY)
    # The machine may be busy. 60 s for 10^5 scans, and the start of Python.
    assert cpu_s < 60 * MANY / 100_000
    assert place.client.llen("celery") == place.client.zcard("pose:open") == MANY
    assert place.queue()[:2] == ["scan-0", "scan-1"]
    message = check_envelope(place.client.lindex("celery", -1))
    assert message["headers"]["task"] == "worker.process_scan"
    assert abs(message["headers"][SENT_AT] - time.time()) < PATIENCE_S
    assert f"the first 1000 scans only, not of {MANY - 1000} more" in done.stderr.decode()


def test_of_many_scans_those_that_are_stored_get_a_status_and_erased_ones_are_refused(place):
    place.put("cancelled/status.json")
    place.put(tombstone_key(ScanId("erased")), "")
    done = place.enqueue(place.many("cancelled", "erased", "new"))
    assert done.returncode == 1
    assert b"Error: line 1002: the scan was erased; " in done.stderr
    assert {"cancelled", "new"} <= set(place.queue())
    assert "erased" not in place.queue()
    status = place.status("cancelled")
    assert status is not None
    assert status["status"] == "queued"
    # A worker writes the status of a new one. Until then the ledger knows it.
    assert place.status("new") is None
    shown = subprocess.run(
        [sys.executable, "-m", "worker", "status", "new"],
        cwd=place.folder,
        env={**unconfigured(), "CELERY_BROKER_URL": place.url},
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stdout) == (0, "new: queued\n")


def test_many_scans_are_forced_and_taken_back(place):
    place.put(tombstone_key(ScanId("erased")), "")
    place.client.hset("pose:deaths:new", "aside", "poison: …")
    place.client.set("pose:cancel:new", 1)
    assert place.enqueue(place.many("new", "erased"), "--force", "--again").returncode == 0
    assert "erased" in place.queue()
    assert not place.client.exists("pose:deaths:new", "pose:cancel:new")
    bodies = [base64.b64decode(json.loads(each)["body"]) for each in place.client.lrange("celery", 0, -1)]
    assert len(bodies) == 1002
    assert all(json.loads(body)[1]["force"] is True for body in bodies)


def test_a_full_redis_is_told_and_nothing_is_lost(place):
    place.client.config_set("maxmemory", 1)
    try:
        done = place.enqueue(place.many())
    finally:
        place.client.config_set("maxmemory", 0)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().count("\n") == 1
    assert "cannot be used: OutOfMemoryError" in done.stderr.decode()
    assert place.enqueue(place.many()).returncode == 0
    assert place.client.llen("celery") == 1000


def test_many_scans_wait_in_files_too(place, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "worker", "enqueue", "-"],
        cwd=tmp_path,
        env=unconfigured(),
        input=place.many(),
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout.count(b": queued\n")) == (0, 1000)
    assert len(list((tmp_path / ".run" / "broker" / "queue").glob("*.celery.msg"))) == 1000
