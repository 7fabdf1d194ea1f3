from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.scans.status import ScanStatus, Stage, Status, StatusRecord, read_status, write_status
from worker.storage.base import Storage, StorageUnavailable
from worker.storage.opening import open_storage

SCAN = ScanId("scan")

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(url_of_folder(tmp_path), "the storage of results")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(storage, clock) -> StatusRecord:
    return StatusRecord(storage, SCAN, "task-1", 2, lease_s=100, clock=clock)


def away(*_: object) -> None:
    raise StorageUnavailable("away")


def written(storage: Storage) -> ScanStatus:
    status = read_status(storage, SCAN)
    assert status is not None
    return status


def test_a_scan_goes_from_queued_to_completed(storage, clock, record):
    queued = ScanStatus(scan_id=SCAN, status=Status.QUEUED, queued_at=START, updated_at=START)
    write_status(storage, queued)
    clock.pass_by(10)
    record.read_earlier()
    record.started()
    status = written(storage)
    assert (status.status, status.attempt, status.task_id) == (Status.STARTED, 2, "task-1")
    assert status.started_at == START + timedelta(seconds=10)
    clock.pass_by(1)
    record.progress(Stage.ANALYSE, 3, 9)
    status = written(storage)
    assert (status.status, status.stage, status.frames_done, status.frames) == ("progress", "analyse", 3, 9)
    clock.pass_by(1)
    record.completed()
    status = written(storage)
    assert (status.status, status.stage, status.frames_done) == (Status.COMPLETED, None, 9)
    assert status.queued_at == START
    assert status.finished_at == status.updated_at == START + timedelta(seconds=12)


def test_a_failure_says_why_and_at_which_stage(storage, record):
    record.started()
    record.progress(Stage.FETCH, 0, None)
    record.failed("no files")
    status = written(storage)
    assert (status.status, status.reason, status.stage) == (Status.FAILED, "no files", Stage.FETCH)
    assert status.status.final


def test_a_scan_that_is_tried_again_is_queued_and_says_why(storage, record):
    record.started()
    record.progress(Stage.ANALYSE, 3, 9)
    record.retrying("the storage of results: it is full", 30)
    status = written(storage)
    assert (status.status, status.stage, status.frames_done) == (Status.QUEUED, None, 0)
    assert status.reason == "the storage of results: it is full"
    assert status.finished_at is None
    assert not status.status.final


def test_a_scan_that_is_not_final_has_a_deadline(storage, clock, record):
    record.started()
    assert written(storage).lease_until == START + timedelta(seconds=100)
    clock.pass_by(5)
    record.progress(Stage.ANALYSE, 0, 9)
    assert written(storage).lease_until == START + timedelta(seconds=105)
    record.retrying("away", 30)
    assert written(storage).lease_until == START + timedelta(seconds=35)
    record.completed()
    assert written(storage).lease_until is None


def test_the_status_holds_crashes_and_force(storage, clock):
    record = StatusRecord(storage, SCAN, "task-1", 2, lease_s=100, force=True, clock=clock)
    record.started(crashes=2)
    assert (written(storage).deaths, written(storage).force) == (2, True)


def test_a_deferred_record_writes_nothing_until_the_analysis_starts(storage, clock, record):
    record.started(deferred=True)
    assert not record.progress(Stage.FETCH, 0, None)
    record.retrying("away", 30)
    record.completed()
    assert read_status(storage, SCAN) is None
    record.started(deferred=True)
    assert record.progress(Stage.ANALYSE, 0, 9)
    assert not record.deferred
    assert written(storage).status is Status.PROGRESS


def test_the_earlier_result_is_deleted_before_a_failure_is_written(storage, record, monkeypatch):
    storage.write("scan/result.json", b"{}", "application/json")
    storage.write("scan/frames/0/pose.json", b"{}", "application/json")
    write, seen = storage.write, []

    def look(key: str, data: bytes, content_type: str) -> None:
        seen.append([each.key for each in storage.objects("scan", 10)])
        write(key, data, content_type)

    monkeypatch.setattr(storage, "write", look)
    assert record.failed("no files")
    assert seen == [[]]


def test_no_failure_is_written_if_the_earlier_result_cannot_be_deleted(storage, record, monkeypatch):
    storage.write("scan/result.json", b"{}", "application/json")
    record.started()
    monkeypatch.setattr(storage, "delete", away)
    assert not record.failed("no files")
    assert written(storage).status is Status.STARTED


def test_progress_is_written_for_a_stage_and_once_within_it(storage, clock, record, monkeypatch):
    shown = []
    monkeypatch.setattr(storage, "write", lambda key, data, _: shown.append(json.loads(data)))
    record.progress(Stage.FETCH, 0, None)
    for frame in range(10):
        record.progress(Stage.ANALYSE, frame, 10)
        clock.pass_by(0.2)
    record.progress(Stage.PUBLISH, 10, 10)
    assert [(each["stage"], each["frames_done"]) for each in shown] == [
        ("analyse", 0),
        ("analyse", 5),
        ("publish", 10),
    ]


def test_start_and_completion_must_be_written(record, storage, monkeypatch):
    monkeypatch.setattr(storage, "write", away)
    for change in (record.started, record.completed):
        with pytest.raises(StorageUnavailable):
            change()


def test_other_states_are_skipped_while_storage_is_away(record, storage, monkeypatch):
    monkeypatch.setattr(storage, "write", away)
    record.progress(Stage.FETCH, 0, None)
    record.retrying("away", 30)
    record.failed("away")


AT = "2026-01-02T03:04:05"
FOREIGN = (
    {"scan_id": "scan", "status": "started", "updated_at": AT},  # its zone is missing
    {"scan_id": "scan", "status": "started", "updated_at": f"{AT}Z", "queued_at": AT},
    {"scan_id": "another", "status": "started", "updated_at": f"{AT}Z"},
    {"scan_id": "../scan", "status": "started", "updated_at": f"{AT}Z"},
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"status": "done"}',
        b"x" * 100_000,
        *(json.dumps(each).encode() for each in FOREIGN),
    ],
)
def test_a_status_that_cannot_be_read_counts_as_none(storage, record, content):
    storage.write("scan/status.json", content, "application/json")
    assert read_status(storage, SCAN) is None
    record.started()
    assert written(storage).status is Status.STARTED


def test_the_file_has_the_fields_that_others_read(storage, record):
    record.started()
    fields = json.loads(storage.read("scan/status.json", 10_000))
    assert fields["schema"] == "scan-status/1"
    assert fields["scan_id"] == "scan"
    assert fields["started_at"] == "2026-01-02T03:04:05Z"
    assert {"status", "stage", "frames_done", "frames", "reason", "attempt"} <= set(fields)


def test_progress_is_told_for_a_stage_and_every_second_within_it(clock, record):
    told = [record.progress(Stage.FETCH, 0, None)]
    for frame in range(10):
        told.append(record.progress(Stage.ANALYSE, frame, 10))
        clock.pass_by(0.3)
    told.append(record.progress(Stage.PUBLISH, 10, 10))
    assert told == [True, True, False, False, False, True, False, False, False, True, False, True]
