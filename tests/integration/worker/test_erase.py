"""Erasing a scan, over files and over Redis and a versioned bucket: nothing that names it is left."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context

import worker.app  # registers the transports  # noqa: F401
from worker.config.celery import celery_config, make_folders
from worker.config.settings import Settings, read_settings
from worker.erasure.erase import Eraser, Erasure
from worker.erasure.report import describe_erasure
from worker.erasure.retention import erase_old_results
from worker.intake.announce import announce
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.queue import sender
from worker.scans.attempt import Attempt
from worker.scans.events import EventType, open_events
from worker.scans.job import Job
from worker.scans.reconcile import reconcile
from worker.scans.self_check import OwnProcess
from worker.scans.status import ScanStatus, Status, read_status, write_status
from worker.scans.tombstones import ScanErased, is_erased, tombstone_key
from worker.storage.base import StorageUnavailable
from worker.storage.opening import open_storages

SCAN, OTHER, LONGER = ScanId("scan-1"), ScanId("other"), ScanId("scan-1-2")
DAY = timedelta(days=1)


class World:
    """Settings, storages, ledger and app over servers of the tests, or over files."""

    def __init__(self, settings: Settings, here: Path, redis: Any = None, s3: Any = None, bucket: str = ""):
        self.settings, self.here, self.redis, self.s3, self.bucket = settings, here, redis, s3, bucket
        self.ledger = open_ledger(settings)
        self.scans, self.results = open_storages(settings)
        make_folders(settings)
        self.app = Celery("of-the-tests", set_as_current=False)
        self.app.config_from_object(celery_config(settings))
        self.events = open_events(settings)

    def fill(self, *scan_ids: ScanId) -> None:
        """Put each scan wherever its id may stand."""
        for scan_id in scan_ids:
            self.scans.write(f"{scan_id}/rgb/1.jpg", b"1", "image/jpeg")
            announce(scan_id, self.settings, self.results, sender(self.app))
            for _ in range(2):
                self.results.write(f"{scan_id}/frames/1/pose.json", b"{}", "application/json")
                self.results.write(f"{scan_id}/result.json", b'{"scan_id": "%s"}' % scan_id.encode(), "x/y")
            self.put_status(scan_id, Status.COMPLETED)
            self.ledger.quarantine(scan_id, "poison")
            self.events.emit(EventType.COMPLETED, scan_id, attempt=1)
            request = Context(args=[], kwargs={"scan_id": scan_id}, task="worker.process_scan")
            self.app.backend.store_result(str(uuid.uuid4()), {"scan_id": scan_id}, "SUCCESS", request=request)
            if self.redis:
                self.fill_redis(scan_id)

    def fill_redis(self, scan_id: ScanId) -> None:
        quoted = json.dumps({"entry": f'{{"scan_id": "{scan_id}"', "reason": "it is not JSON", "at": "…"})
        coded = base64.b64encode(json.dumps([[{"scan_id": scan_id}], {}, {}]).encode()).decode()
        self.redis.lpush("celery:dead", quoted)
        self.redis.lpush("arrivals:dead", json.dumps({"entry": json.dumps({"body": coded}), "reason": "…"}))
        self.redis.lpush("another:dead", json.dumps({"entry": f"s3://bucket/{scan_id}/rgb/1.jpg"}))
        self.redis.lpush("arrivals", json.dumps({"scan_id": scan_id}))
        self.redis.zadd("arrivals:settling", {scan_id: 1})
        message = json.dumps([{"body": coded, "headers": {}, "properties": {}}, "", "celery"])
        self.redis.hset("unacked", f"tag-of-{uuid.uuid4()}", message)
        # Messages that are to come later, of one priority and of another.
        for key in ("celery:delayed", "celery\x06\x163:delayed"):
            self.redis.zadd(key, {json.dumps({"body": coded, "headers": {}, "properties": {}}): 1})

    def put_status(self, scan_id: ScanId, status: Status, finished: datetime | None = None) -> None:
        time_now = datetime.now(UTC)
        write_status(
            self.results,
            ScanStatus(scan_id=scan_id, status=status, updated_at=time_now, finished_at=finished or time_now),
        )

    def erase(self, *scan_ids: ScanId) -> list[Erasure]:
        return list(Eraser(self.settings, self.scans, self.results, self.app).erase(scan_ids, "request"))

    def everything(self) -> dict[str, str]:
        """All that is stored besides the scans themselves, as texts by where it is."""
        found = {}
        for path in self.here.rglob("*"):
            inside = path.relative_to(self.here)
            if path.is_file() and inside.parts[0] != "scans":
                found[str(inside)] = path.read_bytes().decode(errors="replace")
        if self.redis:
            for key in self.redis.scan_iter():
                found[f"redis {key}"] = repr(_content(self.redis, key))
            versions = self.s3.list_object_versions(Bucket=self.bucket, Prefix="results/")
            for each in (*versions.get("Versions", []), *versions.get("DeleteMarkers", [])):
                found[f"s3 {each['Key']} {each['VersionId']}"] = ""
        return found

    def mentions(self, scan_id: ScanId) -> list[str]:
        """Where an id stands, plainly or in Base64, but for the event that it was erased."""
        found = []
        for place, text in self.everything().items():
            parts = [part for part in re.split(r"\n|\), \(", text) if "scan.erased" not in part]
            coded = [
                base64.b64decode(run[: len(run) // 4 * 4]).decode(errors="replace")
                for part in parts
                for run in re.findall("[A-Za-z0-9+/]{16,}=*", part)
            ]
            if any(re.search(rf"(?<![\w-]){scan_id}(?![\w-])", each) for each in (place, *parts, *coded)):
                found.append(place)
        return sorted(found)

    def events_of(self, scan_id: ScanId) -> list[dict[str, Any]]:
        if self.redis:
            events = [json.loads(fields[b"event"]) for _, fields in self.redis.xrange("pose:events")]
        else:
            events = [json.loads(line) for line in (self.here / ".run/events.jsonl").read_text().splitlines()]
        return [event for event in events if event["subject"] == scan_id]


def _content(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"hash":
            return client.hgetall(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"stream":
            return client.xrange(key)


@pytest.fixture(params=["files", "servers"])
def world(request, here) -> World:
    if request.param == "files":
        (here / "scans").mkdir()
        return World(read_settings(), here)
    server, s3 = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_client")
    (url,) = request.getfixturevalue("redis_server").emptied(9)
    patch = request.getfixturevalue("monkeypatch")
    for name, value in server.environment.items():
        patch.setenv(name, value)
    bucket = f"versioned-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    settings = read_settings(
        broker_url=url,
        result_backend=url,
        arrivals_list="arrivals",
        s3_endpoint_url=server.endpoint,
        scans_url=f"s3://{bucket}/scans",
        results_url=f"s3://{bucket}/results",
    )
    return World(settings, here, request.getfixturevalue("redis_server").client(9), s3, bucket)


def test_nothing_that_names_an_erased_scan_is_left(world):
    world.fill(SCAN, OTHER, LONGER)
    before = {scan_id: world.mentions(scan_id) for scan_id in (OTHER, LONGER)}
    assert len(world.mentions(SCAN)) >= (7 if world.redis is None else 15)
    (erasure,) = world.erase(SCAN)
    assert (erasure.refused, erasure.left, erasure.scan_stored) == (False, [], True)
    assert world.mentions(SCAN) == []
    assert {scan_id: world.mentions(scan_id) for scan_id in (OTHER, LONGER)} == before
    (event,) = world.events_of(SCAN)
    assert (event["type"], event["data"]) == ("org.pose-worker.scan.erased", {"reason": "request"})
    text = describe_erasure(erasure)
    assert "proven: nothing names it any more but the event scan.erased" in text
    assert "its own files are still in the storage of scans" in text


def test_the_tombstone_does_not_hold_the_id(world):
    world.fill(SCAN)
    world.erase(SCAN)
    assert is_erased(world.results, SCAN) and not is_erased(world.results, OTHER)
    assert SCAN not in tombstone_key(SCAN)
    assert world.results.read(tombstone_key(SCAN), 100) == b""


def test_a_scan_that_was_never_seen_can_be_erased(world):
    (erasure,) = world.erase(SCAN)
    assert (erasure.removed.total(), erasure.left) == (0, [])
    assert is_erased(world.results, SCAN)


def test_a_scan_that_a_worker_has_is_not_touched(world):
    world.fill(SCAN)
    before = world.mentions(SCAN)
    with world.ledger.lock(SCAN):
        (erasure,) = world.erase(SCAN)
    assert erasure.refused
    assert sorted(world.mentions(SCAN)) == sorted(before)
    assert not is_erased(world.results, SCAN)


def test_no_sweep_brings_an_erased_scan_back(world):
    world.fill(SCAN)
    world.erase(SCAN)
    world.ledger.set_deadline(SCAN, 0)
    sent: list[Any] = []
    later = time.time() + 10 * world.settings.queue_lease_s
    assert (
        reconcile(world.settings, world.scans, world.results, sent.append, sweep=True, clock=lambda: later)
        == []
    )
    assert sent == []
    assert world.mentions(SCAN) == []


def test_an_erased_scan_is_announced_again_only_when_that_is_said(world):
    world.fill(SCAN)
    world.erase(SCAN)
    sent: list[Any] = []
    with pytest.raises(ScanErased, match="was erased"):
        announce(SCAN, world.settings, world.results, sent.append, force=True)
    assert (sent, world.mentions(SCAN)) == ([], [])
    announce(SCAN, world.settings, world.results, sent.append, again=True)
    assert sent == [{"scan_id": SCAN}]
    status = read_status(world.results, SCAN)
    assert status is not None and status.status is Status.QUEUED


def test_a_worker_refuses_a_message_that_comes_after_the_erasure(world):
    world.erase(SCAN)
    world.put_status(SCAN, Status.QUEUED)  # announced at the same moment

    own = OwnProcess("this", replaceable=False, check=lambda: None)

    def work(*_: Any) -> Any:
        pytest.fail("it was analysed")

    with pytest.raises(ScanErased):
        Attempt(Job(SCAN), world.settings, work, lambda *_: None, own).run()
    assert world.mentions(SCAN) == []


@pytest.mark.parametrize("world", ["servers"], indirect=True)
def test_other_scans_of_an_entry_of_the_inbox_are_kept(world):
    record: dict[str, Any] = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": world.bucket}}}
    records = [
        {**record, "s3": {**record["s3"], "object": {"key": f"scans/{scan_id}/rgb/1.jpg"}}}
        for scan_id in (SCAN, OTHER)
    ]
    world.redis.lpush("arrivals", json.dumps({"scan_ids": [SCAN, LONGER]}), json.dumps({"Records": records}))
    world.erase(SCAN)
    assert world.mentions(SCAN) == []
    assert [json.loads(each) for each in world.redis.lrange("arrivals", 0, -1)] == [{"scan_id": LONGER}]
    assert world.redis.zrange("arrivals:settling", 0, -1) == [OTHER.encode()]


def test_many_scans_are_erased_at_once(world):
    scan_ids = [ScanId(f"scan-{number}") for number in range(60)]
    for scan_id in scan_ids:
        world.events.emit(EventType.RECEIVED, scan_id)
    assert [each.scan_id for each in world.erase(*scan_ids, *scan_ids)] == scan_ids
    assert [len(world.events_of(scan_id)) for scan_id in scan_ids] == [1] * 60


@pytest.mark.parametrize("world", ["servers"], indirect=True)
def test_locked_versions_are_reported(world):
    bucket = f"locked-{uuid.uuid4()}"
    world.s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    world.settings = world.settings.model_copy(update={"results_url": f"s3://{bucket}"})
    world.scans, world.results = open_storages(world.settings)
    until = datetime.now(UTC) + DAY
    world.s3.put_object(
        Bucket=bucket,
        Key=f"{SCAN}/result.json",
        Body=b"x",
        ContentMD5=base64.b64encode(hashlib.md5(b"x").digest()).decode(),
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
    )
    (erasure,) = world.erase(SCAN)
    assert erasure.left == ["the storage of results: 1 objects or versions may not be deleted"]
    assert "may be left: the storage of results: 1 objects" in describe_erasure(erasure)


def finished(world: World, days: dict[str, float]) -> None:
    for scan_id, age in days.items():
        world.put_status(ScanId(scan_id), Status.COMPLETED, datetime.now(UTC) - age * DAY)


def test_results_are_erased_when_they_are_too_old(world):
    world.settings = world.settings.model_copy(update={"retention_days": 30})
    world.fill(SCAN, OTHER, LONGER)
    finished(world, {SCAN: 31, OTHER: 29})
    world.put_status(LONGER, Status.PROGRESS, datetime.now(UTC) - 99 * DAY)
    arguments = (world.settings, world.scans, world.results, world.app)
    assert erase_old_results(*arguments) == 1
    assert world.mentions(SCAN) == []
    assert read_status(world.results, OTHER) and read_status(world.results, LONGER)
    (event,) = world.events_of(SCAN)
    assert event["data"] == {"reason": "retention"}
    # The next look is a day later.
    finished(world, {OTHER: 31})
    assert erase_old_results(*arguments) == 0
    assert read_status(world.results, OTHER)


def test_without_retention_days_nothing_is_erased(world):
    finished(world, {SCAN: 9999})
    assert erase_old_results(world.settings, world.scans, world.results, world.app) == 0
    assert read_status(world.results, SCAN)


def test_a_slice_goes_on_where_the_one_before_it_stopped(world):
    world.settings = world.settings.model_copy(update={"retention_days": 30})
    finished(world, {f"s-{number:02}": 31 if number % 2 else 1 for number in range(40)})
    ticks = iter(range(0, 10**6, 6))  # two groups fill a slice of ten seconds
    erased = [
        erase_old_results(
            world.settings, world.scans, world.results, world.app, monotonic=lambda: next(ticks)
        )
        for _ in range(5)
    ]
    assert (sum(erased), erased[0] < 20) == (20, True)
    assert len(world.results.folders()) == 21  # with that of the tombstones


def test_a_status_is_read_once_until_its_scan_is_due(here, monkeypatch):
    (here / "scans").mkdir()
    world = World(read_settings(retention_days=30), here)
    names: dict[str, float] = {f"s-{number:04}": 1 + number % 20 for number in range(200)}
    finished(world, names)
    world.put_status(ScanId("open"), Status.PROGRESS, datetime.now(UTC) - 99 * DAY)
    read: list[str] = []
    real = world.results.read

    def note(key: str, size: int) -> bytes:
        read.append(key)
        return real(key, size)

    monkeypatch.setattr(world.results, "read", note)

    def turn(after_days: float) -> int:
        read.clear()
        world.ledger.rest("retention", 0)
        now = time.time() + after_days * 86_400
        arguments = (world.settings, world.scans, world.results, world.app)
        return erase_old_results(*arguments, clock=lambda: now)

    assert (turn(0), len(read)) == (0, 201)
    assert (turn(1), read) == (0, ["open/status.json"])
    # Those that were finished 20 days ago are due, and only they are read.
    assert turn(10.5) == 10
    assert {key for key in read if key.endswith("/status.json")} == {
        "open/status.json",
        *(f"{name}/status.json" for name, days in names.items() if days == 20),
    }
    # A scan that was analysed again meanwhile is not due any more.
    finished(world, {"s-0018": 0})
    assert turn(11.5) == 9
    assert "s-0018/status.json" in read
    assert turn(11.6) == 0
    assert read == ["open/status.json"]


def test_a_result_that_cannot_be_read_keeps_no_other_from_being_erased(here, monkeypatch):
    (here / "scans").mkdir()
    world = World(read_settings(retention_days=30), here)
    finished(world, {"a": 31, "b": 31, "c": 31})
    real = world.results.read

    def read(key: str, size: int) -> bytes:
        if key == "a/status.json":
            raise StorageUnavailable("the storage of results answered 500")
        return real(key, size)

    monkeypatch.setattr(world.results, "read", read)
    assert erase_old_results(world.settings, world.scans, world.results, world.app) == 2
    assert world.results.folders() == [".erased", "a"]


def test_a_scan_that_is_finished_in_the_year_2999_is_not_kept_until_then(here):
    (here / "scans").mkdir()
    world = World(read_settings(retention_days=30), here)
    finished(world, {"scan": -365 * 900})
    changed = time.time() - 31 * 86_400
    os.utime(here / "results" / "scan" / "status.json", (changed, changed))
    assert erase_old_results(world.settings, world.scans, world.results, world.app) == 1


def test_results_without_a_status_have_the_age_of_their_newest_file(here):
    (here / "scans").mkdir()
    world = World(read_settings(retention_days=30), here)
    for scan_id, days in (("old", 31), ("new", 29)):
        for name, age in (("1", days), ("2", 99)):
            world.results.write(f"{scan_id}/frames/{name}/pose.json", b"{}", "application/json")
            changed = time.time() - age * 86_400
            os.utime(here / "results" / scan_id / "frames" / name / "pose.json", (changed, changed))
    assert erase_old_results(world.settings, world.scans, world.results, world.app) == 1
    assert world.results.folders() == [".erased", "new"]
