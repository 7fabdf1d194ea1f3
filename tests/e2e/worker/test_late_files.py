"""Scans that are announced before all their files are there, with a real worker."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.running import World

QUICK = {"ARRIVALS_QUIET_S": "10", "INCOMPLETE_S": "15", "RETRY_BASE_S": "0.5"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("late"), QUICK)
    with world.start_worker() as worker:
        worker.wait_for_event("worker_ready")
        yield world


def test_files_that_come_after_the_announcement_are_analysed_with_the_others(world, make_scan):
    files = make_scan(frames=3)
    names = list(files)
    world.put_scan("late", {name: files[name] for name in names[:3]})
    world.enqueue("late")  # takes a second or two
    for name in names[3:]:
        world.put_scan("late", {name: files[name]})
        time.sleep(0.5)
    assert world.wait_for("late", "completed", "failed")["frames"] == 3


def test_so_are_files_of_a_folder_that_was_empty(world, make_scan):
    world.enqueue("empty")
    time.sleep(1)
    world.put_scan("empty", make_scan(frames=2))
    assert world.wait_for("empty", "completed", "failed")["frames"] == 2


def test_a_scan_whose_record_names_files_that_never_come_fails_and_says_how_many(world, make_scan):
    files = make_scan(frames=2)
    names = sorted(name for name in files if "/" in name)
    listed = [
        {"format": name.partition("/")[0], "order": i % 2, "file": name} for i, name in enumerate(names)
    ]
    files["scan.json"] = json.dumps({"type": 100, "artifacts": listed}).encode()
    missing = files.pop(names[0])
    world.put_scan("part", files)
    world.enqueue("part")
    status = world.wait_for("part", "failed", "completed")
    assert status["reason"] == "incomplete: 3 of 4 files"
    world.put_scan("part", {names[0]: missing})
    assert "part: queued again" in world.call("worker", "reconcile", "--all").stdout
    assert world.wait_for("part", "completed")["frames"] == 2
    events = [json.loads(line) for line in (world.folder / ".run/events.jsonl").read_text().splitlines()]
    ends = ("scan.failed", "scan.completed")
    failed, completed = (e for e in events if e["subject"] == "part" and e["type"].endswith(ends))
    assert completed["data"]["supersedes"] == failed["id"]
    assert "part" not in world.call("worker", "reconcile", "--all").stdout
