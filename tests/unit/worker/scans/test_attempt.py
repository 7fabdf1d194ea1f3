"""One try at a scan, in this process, with the ledger and the events in files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from pose.errors import DeviceUnavailable, InvalidScan
from pose.lifting.posture import Posture
from pose.results import FrameResult, ModelInfo, ScanResult
from tests.support.exhausted import no_thread_left
from worker.config.settings import Settings, read_settings
from worker.keys import ScanId
from worker.ledger.base import Lease, Ledger, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.attempt import FAILED_HERE, Attempt
from worker.scans.completeness import ScanIncomplete
from worker.scans.ending import Ending
from worker.scans.events import FileEvents
from worker.scans.failures import TOO_LONG, ProcessEnds, ScanFailed
from worker.scans.job import Job
from worker.scans.process import Outcome
from worker.scans.retry import MAX_LOCK_WAIT_S, RetryLater, RetryState
from worker.scans.self_check import OwnProcess, ProcessUnfit
from worker.scans.status import ScanStatus, Stage, Status, StatusRecord, now, read_status, write_status
from worker.storage.base import ScanMissing, Storage, StorageUnavailable
from worker.storage.opening import open_storages
from worker.time_limit import TimeLimitReached

SCAN = ScanId("scan")

NOW = 1_800_000_000.0
RESULT = "scan/result.json"
FIRST = RetryState()
FIT = OwnProcess("p1", True, lambda: None)
OTHER = OwnProcess("p2", True, lambda: None)


def result_of(scan_id: str = "scan", withheld: bool = False) -> ScanResult:
    frame = FrameResult.model_validate(
        {
            "order": 4, "status": "no_person", "reason": None, "people": (), "floor_height_m": None,
            "camera_angle_deg": None, "missing_depth": None, "child_distance_m": None, "quality": (),
            "picture": None if withheld else f"{scan_id}/frames/4/blurred.jpg",
        }
    )  # fmt: skip
    return ScanResult(
        scan_id=scan_id, fingerprint="f", model=ModelInfo(name="m", version="1"), posture=Posture.UNKNOWN,
        posture_confidence=0, body_length_m=None, frames_used=0, frames=(frame,), timings_ms={},
    )  # fmt: skip


class Work:
    """What is done to a scan, as it is asked for: the stages, then an error or a result."""

    def __init__(self, error: BaseException | None = None, repeated: bool = False) -> None:
        self.calls = 0
        self.force: list[bool] = []
        self.error = error
        self.repeated = repeated
        self.withheld = False
        self.files = "files"
        self.at_work: Callable[[Storage], object] = lambda _: None

    def __call__(
        self, results: Storage, force: bool, report: Callable[..., None], note_files: Callable[[str], None]
    ) -> Outcome:
        self.calls += 1
        note_files(self.files)
        self.force.append(force)
        report(Stage.FETCH, 0, None)
        result = result_of(withheld=self.withheld)
        if self.repeated:
            return Outcome(result, repeated=True)
        if self.error is not None and not isinstance(self.error, (SystemExit, StorageUnavailable)):
            raise self.error
        report(Stage.ANALYSE, 0, 9)
        report(Stage.ANALYSE, 9, 9)
        self.at_work(results)
        if self.error is not None:
            raise self.error
        results.write(RESULT, result.model_dump_json().encode(), "application/json")
        return Outcome(result, repeated=False)


@pytest.fixture
def settings(here) -> Settings:
    return read_settings(retry_base_s=2, max_attempts=4, retry_total_s=100, max_deaths=3, incomplete_s=30)


@pytest.fixture
def ledger(settings) -> Ledger:
    return open_ledger(settings)


@pytest.fixture
def results(settings) -> Storage:
    return open_storages(settings)[1]


@pytest.fixture
def attempt(settings) -> Callable[..., Outcome]:
    def attempt(
        work: Any,
        tries: RetryState = FIRST,
        process: OwnProcess | None = None,
        now: float = NOW,
        **job: Any,
    ) -> Outcome:
        asked = Job(SCAN, "task-1", retry_state=tries, **job)
        return Attempt(asked, settings, work, lambda *_: None, process or FIT, clock=lambda: now).run()

    return attempt


def status(results: Storage) -> ScanStatus:
    found = read_status(results, SCAN)
    assert found is not None
    return found


def put(results: Storage, status: Status, **fields: object) -> None:
    known = {"scan_id": "scan", "status": status, "updated_at": now(), **fields}
    write_status(results, ScanStatus.model_validate(known))


def complete(results: Storage) -> None:
    put(results, Status.COMPLETED, files="files")
    results.write(RESULT, result_of().model_dump_json().encode(), "application/json")


def events_of(here: Path) -> list[dict[str, Any]]:
    file = here / ".run" / "events.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert all(event["subject"] == "scan" for event in events)
    return events


def told(here: Path) -> list[str]:
    """The events, by the end of their type."""
    return [event["type"].rpartition(".")[2] for event in events_of(here)]


def free(ledger: Ledger) -> bool:
    lease = ledger.lock(SCAN)
    if lease is None:
        return False
    lease.release()
    return True


def die(ledger: Ledger, times: int) -> None:
    """As often as a process that was killed leaves it: begun, and nothing else."""
    for _ in range(times):
        ledger.begin(SCAN)


def test_a_completed_scan_has_its_status_and_its_events_in_order(attempt, ledger, results, here):
    answer = attempt(Work())
    assert (answer.repeated, answer.result.fingerprint) == (False, "f")
    found = status(results)
    assert (found.status, found.attempt, found.deaths, found.lease_until) == ("completed", 1, 0, None)
    assert told(here) == ["received", "started", "progress", "progress", "completed"]
    assert ledger.overdue(float("inf")) == []
    assert ledger.begin("scan") == 0
    assert free(ledger)


def test_an_announced_scan_gets_no_second_received_event(attempt, results, here):
    put(results, Status.QUEUED, queued_at=now())
    attempt(Work())
    assert told(here)[0] == "started"


def test_an_unannounced_scan_gets_one_received_event_even_if_its_first_attempt_fails(attempt, results, here):
    put(results, Status.STARTED)  # written, and dead before anybody was told
    with pytest.raises(RetryLater):
        attempt(Work(error=StorageUnavailable("away")))
    attempt(Work(), RetryState(attempt=2, first_failure=NOW))
    assert [each for each in told(here) if each != "progress"] == [
        "received",
        "started",
        "started",
        "completed",
    ]
    assert [each["data"]["attempt"] for each in events_of(here) if "attempt" in each["data"]] == [1, 2, 2]


def test_a_withheld_picture_has_an_event(attempt, here):
    work = Work()
    work.withheld = True
    attempt(work)
    assert told(here)[-2:] == ["withheld", "completed"]


def test_during_the_work_the_lock_is_held_and_the_status_has_a_deadline(attempt, ledger, results):
    work, seen = Work(), []
    work.at_work = lambda _: seen.append((free(ledger), status(results), ledger.overdue(NOW + 10**9)))
    attempt(work)
    ((was_free, during, open_scans),) = seen
    assert not was_free
    assert open_scans == ["scan"]
    assert during.status is Status.PROGRESS
    assert during.lease_until is not None
    assert 150 < (during.lease_until - during.updated_at).total_seconds() < 300


def test_a_second_message_for_a_completed_scan_changes_nothing_and_sends_no_event(attempt, results, here):
    complete(results)
    before = status(results)
    assert attempt(Work(repeated=True)).repeated
    assert status(results) == before
    assert told(here) == []


def test_a_result_whose_status_was_never_written_is_completed(attempt, results, here):
    put(results, Status.PROGRESS)
    assert attempt(Work(repeated=True)).repeated
    assert status(results).status is Status.COMPLETED
    assert told(here)[-1] == "completed"


def test_new_files_for_a_finished_scan_are_analysed(attempt, results, here):
    complete(results)
    assert not attempt(Work()).repeated
    assert told(here) == ["received", "started", "progress", "completed"]


def test_the_final_event_of_another_analysis_names_the_one_that_it_supersedes(attempt, results, here):
    attempt(Work())
    first = events_of(here)[-1]
    assert "supersedes" not in first["data"]
    assert status(results).files == "files"
    work = Work(StorageUnavailable("away"))
    work.files = "others"
    with pytest.raises(RetryLater):
        attempt(work)
    work.error = None
    attempt(work, RetryState(attempt=2, first_failure=NOW), now=NOW + 1)
    second = events_of(here)[-1]
    assert (second["type"], second["data"]["supersedes"]) == (first["type"], first["id"])
    assert second["id"] != first["id"]
    assert status(results).files == "others"
    with pytest.raises(ScanFailed):
        attempt(Work(InvalidScan("scan", "frames", "none")))
    assert events_of(here)[-1]["data"]["supersedes"] == second["id"]


def test_files_that_changed_nothing_are_noted_and_no_event_is_sent(attempt, results, here):
    attempt(Work())
    before, sent = status(results), told(here)
    work = Work(repeated=True)
    work.files = "touched"
    attempt(work)
    assert status(results) == before.model_copy(update={"files": "touched"})
    work.files, work.error, work.repeated = "gone", ScanMissing("no files"), False
    with pytest.raises(ScanFailed):
        attempt(work, RetryState(attempt=2, misses=1, first_missing=NOW - 30))
    assert status(results) == before.model_copy(update={"files": "gone"})
    assert told(here) == sent


def test_force_reaches_the_work_and_the_status(attempt, results):
    complete(results)
    work, seen = Work(), []
    work.at_work = lambda _: seen.append(status(results))
    attempt(work, force=True)
    assert work.force == [True]
    assert seen[0].force


@pytest.mark.parametrize("earlier", [Status.COMPLETED, Status.FAILED])
def test_a_message_that_was_sent_again_does_nothing_to_a_final_scan(attempt, ledger, results, here, earlier):
    complete(results)
    put(results, earlier, reason="why")
    ledger.set_deadline("scan", 1.0)
    work = Work()
    for _ in range(2):
        if earlier is Status.COMPLETED:
            assert attempt(work, resent=True).repeated
        else:
            with pytest.raises(ScanFailed, match="why"):
                attempt(work, resent=True)
        assert work.calls == 0
        # It was open still: whoever had it may have died before he told of its end.
        assert told(here) == [earlier.value]
        assert ledger.overdue(float("inf")) == []


def test_a_second_message_sends_a_final_event_that_was_not_sent(attempt, ledger, results, here):
    complete(results)
    ledger.set_deadline("scan", 1.0)
    for _ in range(2):
        assert attempt(Work(repeated=True)).repeated
        assert told(here) == ["completed"]
        assert ledger.overdue(float("inf")) == []


@pytest.mark.parametrize("work", [Work(), Work(error=InvalidScan("scan", "frames", "none"))])
def test_a_scan_stays_open_while_its_final_event_cannot_be_sent(attempt, ledger, results, monkeypatch, work):
    monkeypatch.setattr(FileEvents, "emit", lambda *_, **__: False)
    with suppress(ScanFailed):
        attempt(work)
    assert status(results).status.final
    assert ledger.overdue(float("inf")) == ["scan"]


def test_waiting_for_the_lock_of_another_worker_is_no_attempt(attempt, ledger, here):
    work = Work()
    with ledger.lock("scan") as _:
        with pytest.raises(RetryLater) as first:
            attempt(work, RetryState(attempt=2))
        with pytest.raises(RetryLater) as later:
            attempt(work, RetryState(lock_waits=10))
    assert (first.value.state, first.value.delay_s) == (RetryState(attempt=2, lock_waits=1), 0.5)
    assert later.value.delay_s == MAX_LOCK_WAIT_S
    assert work.calls == 0
    assert not (here / "results").exists()


def test_waiting_for_a_lock_ends_at_some_time(attempt, ledger, settings):
    with ledger.lock("scan"):
        tries = RetryState()
        waited = 0.0
        for _ in range(1000):
            try:
                attempt(Work(), tries)
            except RetryLater as again:
                tries, waited = again.state, waited + again.delay_s
            except ScanFailed as error:
                assert "another worker has the scan" in str(error)
                break
    assert settings.time_limit_s + settings.lock_ttl_s < waited < 600


def test_an_invalid_scan_fails_and_its_earlier_result_is_deleted(attempt, ledger, results, here):
    complete(results)
    with pytest.raises(ScanFailed, match="scan: frames: none"):
        attempt(Work(InvalidScan("scan", "frames", "none")))
    found = status(results)
    assert (found.status, found.reason) == ("failed", "scan: frames: none")
    assert [each.key for each in results.objects("scan", 10)] == ["scan/status.json"]
    assert told(here) == ["failed"]
    assert ledger.overdue(float("inf")) == []
    assert free(ledger)


@pytest.mark.parametrize("error", [ScanMissing("no files"), TimeLimitReached(), KeyError("a fault of ours")])
def test_a_completed_scan_stays_completed_when_another_message_for_it_fails(
    attempt, ledger, results, here, error
):
    def work(results: Storage, force: bool, report: Callable[..., None], _: object) -> Outcome:
        report(Stage.FETCH, 0, None)
        raise error

    complete(results)
    with pytest.raises(RetryLater):
        attempt(work)
    with pytest.raises(ScanFailed):
        attempt(work, RetryState(attempt=2, first_failure=NOW - 30, first_missing=NOW - 30), OTHER)
    assert status(results).status is Status.COMPLETED
    assert results.objects("scan", 10)[0].key == RESULT
    assert told(here) == []


def test_after_a_transient_error_the_scan_comes_again_and_has_a_deadline(attempt, ledger, results, settings):
    with pytest.raises(RetryLater, match="it is full") as error:
        attempt(Work(StorageUnavailable("it is full")))
    again = error.value
    assert again.state == RetryState(attempt=2, first_failure=NOW)
    assert 1 <= again.delay_s <= 2
    found = status(results)
    assert (found.status, found.reason, found.stage) == ("queued", "it is full", None)
    assert found.lease_until is not None
    until = NOW + again.delay_s + settings.queue_lease_s
    assert ledger.overdue(until - 1) == []
    assert ledger.overdue(until + 1) == ["scan"]
    assert ledger.begin("scan") == 0
    assert free(ledger)


@pytest.mark.parametrize(
    "tries", [RetryState(attempt=4, first_failure=NOW - 1), RetryState(attempt=2, first_failure=NOW - 99.5)]
)
def test_after_too_many_attempts_or_too_long_a_time_the_scan_fails_with_the_last_reason(
    attempt, results, here, tries
):
    with pytest.raises(ScanFailed, match="it is full"):
        attempt(Work(StorageUnavailable("it is full")), tries)
    found = status(results)
    assert (found.status, found.reason, found.attempt) == ("failed", "it is full", tries.attempt)
    assert told(here)[-1] == "failed"


def test_a_failure_that_cannot_be_written_keeps_its_message(attempt, ledger, results, here, monkeypatch):
    last = RetryState(attempt=4, first_failure=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(results, "delete", lambda _: (_ for _ in ()).throw(StorageUnavailable("away")))
        with pytest.raises(RetryLater) as again:
            attempt(Work(StorageUnavailable("away")), last)
    assert again.value.state == last
    assert status(results).status is Status.PROGRESS
    assert "failed" not in told(here)
    assert ledger.overdue(float("inf")) == ["scan"]
    with pytest.raises(ScanFailed, match="away"):
        attempt(Work(StorageUnavailable("away")), again.value.state)
    assert status(results).status is Status.FAILED


@pytest.mark.parametrize("error", [ScanMissing("no files"), ScanIncomplete("incomplete: 3 of 18 files")])
def test_a_scan_waits_for_its_files_and_fails_if_they_do_not_come(attempt, results, here, error):
    state = RetryState()
    for _ in range(8):  # more often than MAX_ATTEMPTS
        with pytest.raises(RetryLater) as again:
            attempt(Work(error), state)
        assert again.value.waits
        state = again.value.state
    assert (status(results).status, status(results).reason) == ("queued", str(error))
    state = RetryState(attempt=9, misses=8, first_missing=NOW - 30)
    with pytest.raises(ScanFailed):
        attempt(Work(error), state)
    assert (status(results).status, status(results).reason) == ("failed", str(error))
    assert told(here)[-1] == "failed"


def test_a_scan_that_becomes_complete_is_looked_at_again_when_it_may_be(attempt):
    with pytest.raises(RetryLater) as again:
        attempt(Work(ScanIncomplete("its files are still coming", wait_s=7.5)))
    assert again.value.delay_s == 7.5
    attempt(Work(), again.value.state)


def test_crashes_are_counted_and_after_the_third_the_scan_is_in_quarantine(attempt, ledger, results, here):
    put(results, Status.PROGRESS, stage="analyse", frames_done=3, frames=9)
    die(ledger, 2)
    work = Work(StorageUnavailable("away"))
    with pytest.raises(RetryLater):
        attempt(work)
    assert status(results).deaths == 2
    put(results, Status.PROGRESS, stage="analyse", frames_done=3, frames=9)
    die(ledger, 1)
    for _ in range(2):
        with pytest.raises(ScanFailed, match="poison: 3 processes died") as error:
            attempt(work)
    assert "the last one at analyse, after frame 3 of 9" in str(error.value)
    assert work.calls == 1
    assert status(results).status is Status.FAILED
    ledger.release_quarantine("scan")
    assert not attempt(Work()).repeated
    assert status(results).deaths == 0


def test_a_completed_scan_has_no_crashes_any_more(attempt, ledger):
    die(ledger, 2)
    attempt(Work())
    assert ledger.begin("scan") == 0


def test_a_process_that_is_told_to_end_hands_the_scan_back(attempt, ledger, results, here):
    with pytest.raises(SystemExit):
        attempt(Work(SystemExit(0)))
    found = status(results)
    assert (found.status, found.reason) == ("queued", "handed back: its worker was told to end")
    assert found.lease_until is not None
    assert told(here)[-1] == "progress"
    assert ledger.begin("scan") == 0
    assert ledger.overdue(float("inf")) == ["scan"]
    assert free(ledger)


@pytest.mark.parametrize("error", [TimeLimitReached(), KeyError("a"), SystemError("b")])
def test_a_scan_fails_only_after_it_failed_alike_in_two_processes_that_work(attempt, results, ledger, error):
    with pytest.raises(RetryLater) as again:
        attempt(Work(error))
    assert again.value.state == RetryState(attempt=2, first_failure=NOW)
    assert status(results).status is Status.QUEUED
    assert ledger.begin("scan") == 0
    ledger.end("scan")
    assert free(ledger)
    with pytest.raises(ScanFailed):
        attempt(Work(error), again.value.state, OTHER)
    found = status(results)
    known = "it took longer than the time limit"
    assert found.reason == (
        known if isinstance(error, TimeLimitReached) else f"unexpected error: {type(error).__name__}"
    )


def test_a_scan_that_failed_in_this_process_goes_to_another_which_may_complete_it(attempt, results, ledger):
    with pytest.raises(RetryLater):
        attempt(Work(KeyError("a")))
    work = Work(KeyError("a"))
    with pytest.raises(ProcessEnds):
        attempt(work)
    assert work.calls == 0
    assert (status(results).status, status(results).reason) == ("queued", FAILED_HERE)
    assert free(ledger)
    attempt(Work(), process=OTHER)
    assert not ledger.has_failed("scan", "p1")


def test_two_different_failures_prove_nothing(attempt, results):
    for error, process in ((KeyError("a"), FIT), (IndexError("b"), OTHER)):
        with pytest.raises(RetryLater):
            attempt(Work(error), process=process)
    assert status(results).status is Status.QUEUED


def unfit() -> None:
    raise ProcessUnfit("it cannot analyse the built-in scan: AcceleratorError")


@pytest.mark.parametrize("error", [KeyError("a"), MemoryError(), OSError(28, "full"), DeviceUnavailable("x")])
def test_a_process_that_does_not_work_ends_and_the_scan_is_as_it_was(attempt, results, ledger, error):
    last = RetryState(attempt=4, first_failure=NOW - 99)
    for process in ("p1", "p2", "p3"):
        with pytest.raises(ProcessEnds, match="built-in scan"):
            attempt(Work(error), last, OwnProcess(process, True, unfit))
        assert status(results).status is Status.QUEUED
        assert "the process does not work" in str(status(results).reason)
        assert free(ledger)
        assert ledger.overdue(float("inf")) == ["scan"]
    assert not attempt(Work(), last).repeated
    assert status(results).deaths == 0


def test_a_process_that_cannot_be_replaced_keeps_the_message(attempt, results):
    last = RetryState(attempt=4, first_failure=NOW - 99)
    with pytest.raises(RetryLater) as again:
        attempt(Work(KeyError("a")), last, OwnProcess("p1", False, unfit))
    assert again.value.state == last


def test_without_other_processes_two_attempts_have_to_do(attempt, results):
    alone = OwnProcess("p1", False, lambda: None)
    with pytest.raises(RetryLater) as again:
        attempt(Work(KeyError("a")), process=alone)
    with pytest.raises(ScanFailed, match="unexpected error: KeyError"):
        attempt(Work(KeyError("a")), again.value.state, alone)


@pytest.mark.parametrize("error", [MemoryError(), torch.AcceleratorError("x"), OSError(28, "full")])
def test_what_the_machine_lacks_never_counts_against_the_scan(attempt, results, ledger, error):
    for process in (FIT, OTHER, OwnProcess("p3", True, lambda: None)):
        with pytest.raises(RetryLater):
            attempt(Work(error), process=process)
        assert not ledger.has_failed("scan", process.name)


def test_a_storage_that_is_too_slow_for_the_time_limit_is_tried_again(attempt, results, ledger):
    for process in (FIT, OTHER, FIT):
        with pytest.raises(RetryLater, match="the storage of results: too slow"):
            attempt(Work(TimeLimitReached("the storage of results")), process=process)
    # Nothing more is written to it: the time until the process is killed is short.
    assert status(results).status is Status.STARTED


def test_where_no_thread_can_be_started_the_lock_is_given_back_at_once(attempt, ledger, results):
    with no_thread_left():
        with pytest.raises(RetryLater, match="no threads left"):
            attempt(Work())
        with pytest.raises(ProcessEnds, match="no threads left"):
            attempt(Work(), process=OwnProcess("p1", True, unfit))
        with pytest.raises(RetryLater):
            attempt(Work(), RetryState(attempt=4))
    assert read_status(results, SCAN) is None
    assert free(ledger)


@pytest.mark.parametrize("moment", ["close", "try_ledger"])
def test_an_error_after_completion_leaves_the_scan_completed(attempt, results, ledger, monkeypatch, moment):
    def interrupted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Ending, moment, interrupted)
    assert attempt(Work()).repeated is False
    assert status(results).status is Status.COMPLETED
    assert results.read(RESULT, 10**6)
    assert ledger.is_open("scan")  # its end is told by whoever finds that


def test_an_interruption_while_completed_is_written_leaves_the_scan_completed(attempt, results, monkeypatch):
    written = StatusRecord.completed

    def interrupted(record: StatusRecord) -> None:
        written(record)
        raise SystemExit

    monkeypatch.setattr(StatusRecord, "completed", interrupted)
    with pytest.raises(SystemExit):
        attempt(Work())
    assert status(results).status is Status.COMPLETED
    assert results.read(RESULT, 10**6)


def test_a_completed_scan_whose_status_cannot_be_written_keeps_its_result(attempt, results, monkeypatch):
    write = results.write

    def refused(key: str, data: bytes, content_type: str) -> None:
        if b'"status": "completed"' in data:
            raise StorageUnavailable("away")
        write(key, data, content_type)

    last = RetryState(attempt=4, first_failure=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(results, "write", refused)
        with pytest.raises(RetryLater) as again:
            attempt(Work(), last)
    assert again.value.state == last
    assert results.read(RESULT, 10**6)
    attempt(Work(repeated=True), last)
    assert status(results).status is Status.COMPLETED


def test_a_process_that_is_told_to_end_once_its_scan_is_completed_hands_nothing_back(
    attempt, results, monkeypatch
):
    def interrupted(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Ending, "close", interrupted)
    with pytest.raises(SystemExit):
        attempt(Work())
    assert status(results).status is Status.COMPLETED


def test_a_scan_in_quarantine_fails_with_the_reason_of_the_quarantine(attempt, ledger, results):
    ledger.quarantine("scan", "it took longer than the time limit")
    work = Work()
    with pytest.raises(ScanFailed, match="time limit"):
        attempt(work)
    assert work.calls == 0
    assert status(results).reason == "it took longer than the time limit"


def test_a_completed_scan_in_quarantine_stays_completed(attempt, ledger, results, here):
    complete(results)
    ledger.quarantine("scan", TOO_LONG)
    assert attempt(Work(repeated=True)).repeated
    assert status(results).status is Status.COMPLETED
    assert ledger.quarantine_reason("scan") is None
    assert told(here) == []


def test_an_attempt_that_lost_its_lock_writes_nothing_and_sends_no_event(
    attempt, ledger, results, here, monkeypatch
):
    monkeypatch.setattr(Lease, "held", lambda self: not lost)
    lost: list[bool] = []
    work = Work()

    def another_takes_over(_: Storage) -> None:
        lost.append(True)
        put(results, Status.STARTED, task_id="another")

    work.at_work = another_takes_over
    with pytest.raises(RetryLater, match="the lock of the scan was lost") as error:
        attempt(work, RetryState(attempt=3))
    assert error.value.state == RetryState(attempt=3, lock_waits=1)
    assert status(results).task_id == "another"
    assert [each.key for each in results.objects("scan", 10)] == ["scan/status.json"]
    assert told(here)[-1] == "progress"


@pytest.mark.parametrize("error", [StorageUnavailable("away"), InvalidScan("a", "b", "c"), SystemExit(0)])
def test_an_attempt_that_fails_after_it_lost_its_lock_writes_nothing(attempt, results, monkeypatch, error):
    monkeypatch.setattr(Lease, "held", lambda self: not lost)
    lost: list[bool] = []
    work = Work()

    def fail(_: Storage) -> None:
        lost.append(True)
        put(results, Status.STARTED, task_id="another")
        raise error

    work.at_work = fail
    with pytest.raises(SystemExit if isinstance(error, SystemExit) else RetryLater):
        attempt(work)
    assert status(results).task_id == "another"


class Away:
    """A ledger that cannot be reached, from a certain step on."""

    def __init__(self, ledger: Ledger, *steps: str) -> None:
        self._ledger = ledger
        self.steps = steps

    def __getattr__(self, name: str) -> Any:
        if name in self.steps:
            raise LedgerUnavailable("Redis cannot be used")
        return getattr(self._ledger, name)


@pytest.mark.parametrize("step", ["lock", "quarantine_reason", "begin", "set_deadline"])
def test_while_the_ledger_is_away_no_work_is_done_and_the_scan_comes_again(
    attempt, ledger, here, monkeypatch, step
):
    monkeypatch.setattr("worker.scans.attempt.open_ledger", lambda _: Away(ledger, step))
    work = Work()
    with pytest.raises(RetryLater, match="Redis cannot be used") as error:
        attempt(work)
    assert error.value.state == RetryState(attempt=2, first_failure=NOW)
    assert work.calls == 0


@pytest.mark.parametrize("step", ["end", "close", "release_quarantine"])
def test_a_ledger_that_is_away_at_the_end_leaves_the_scan_completed(
    attempt, ledger, results, monkeypatch, step
):
    monkeypatch.setattr("worker.scans.attempt.time.sleep", lambda _: None)
    monkeypatch.setattr("worker.scans.attempt.open_ledger", lambda _: Away(ledger, step))
    assert not attempt(Work()).repeated
    assert status(results).status is Status.COMPLETED


def test_a_ledger_that_is_away_for_a_moment_at_the_end_counts_no_crash(attempt, ledger, monkeypatch):
    away, waited = Away(ledger, "end"), []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        away.steps = () if len(waited) == 2 else away.steps

    monkeypatch.setattr("worker.scans.attempt.open_ledger", lambda _: away)
    monkeypatch.setattr("worker.scans.attempt.time.sleep", wait)
    with pytest.raises(RetryLater):
        attempt(Work(StorageUnavailable("away")))
    assert len(waited) == 2
    assert ledger.begin("scan") == 0


@pytest.mark.parametrize(("earlier", "after"), [("progress", "failed"), ("completed", "completed")])
def test_a_ledger_that_stays_away_fails_the_scan_unless_it_is_done(
    attempt, ledger, results, monkeypatch, earlier, after
):
    put(results, Status(earlier))
    monkeypatch.setattr("worker.scans.attempt.open_ledger", lambda _: Away(ledger, "lock"))
    with pytest.raises(ScanFailed, match="Redis cannot be used"):
        attempt(Work(), RetryState(attempt=4))
    assert status(results).status == after


def test_deadlines_in_the_ledger_are_seconds_of_the_epoch(settings, results, ledger):
    before = time.time()
    with pytest.raises(RetryLater):
        Attempt(Job(SCAN), settings, Work(StorageUnavailable("away")), lambda *_: None, FIT).run()
    assert ledger.overdue(before + settings.queue_lease_s - 1) == []
    assert ledger.overdue(time.time() + settings.queue_lease_s + 10) == ["scan"]
