"""How an attempt ended is counted by its type; what a result says, by its fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from pose.errors import InvalidScan, PoseError
from pose.results import FrameStatus, Verdict
from worker import counters
from worker.ledger.base import LedgerUnavailable
from worker.scans.cancel import ScanCancelled
from worker.scans.counted import counted, why_withheld
from worker.scans.failures import Fault, Quarantined, ScanFailed, classify_error, reason_class_of
from worker.scans.process import Outcome
from worker.scans.retry import RetryLater, RetryState
from worker.scans.tombstones import ScanErased
from worker.storage.base import ScanMissing, ScanTooLarge, StorageUnavailable
from worker.time_limit import TimeLimitReached


@pytest.fixture
def counts(monkeypatch) -> list[counters.Count]:
    found: list[counters.Count] = []
    monkeypatch.setattr(counters._Kept, "counts", found)
    return found


def frame(status: FrameStatus, *quality: str, picture: str | None = None) -> Any:
    return SimpleNamespace(status=status, quality=quality, picture=picture, timings_ms={})


def failed(reason_class: str) -> ScanFailed:
    error = ScanFailed("for a person")
    error.reason_class = reason_class
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failed("invalid"), ("pose_scans", ["failed", "invalid"], 1.0)),
        (ScanCancelled(), ("pose_scans", ["cancelled", "none"], 1.0)),
        (ScanErased(), ("pose_scans", ["erased", "none"], 1.0)),
        (RetryLater("later", 1.0, RetryState()), ("pose_retries", ["unwritten"], 1.0)),
        (KeyError("bug"), ("pose_retries", ["unknown"], 1.0)),
    ],
)
def test_how_an_attempt_ended(counts, error, expected):
    def run() -> NoReturn:
        raise error

    with pytest.raises(type(error)):
        counted(run)
    assert counts == [expected]


def test_what_a_result_says(counts):
    good = frame(FrameStatus.OK, picture="scan/frames/0/blurred.jpg")
    good.timings_ms = {"lift": 500.0, "total": 900.0}
    frames = (good, frame(FrameStatus.NO_PERSON), frame(FrameStatus.OK, "misaligned", "too_far"))
    result: Any = SimpleNamespace(verdict=Verdict.USABLE, frames=frames)
    counted(lambda: Outcome(result, repeated=False, seconds={"fetch": 2.0}))
    told = {(name, *labels): value for name, labels, value in counts}
    assert told == {
        ("pose_scans", "completed", "none"): 1,
        ("pose_verdicts", "usable"): 1,
        ("pose_frames", "ok"): 1,
        ("pose_frames", "no_person"): 1,
        ("pose_pictures_withheld", "no_person"): 1,
        ("pose_frame_faults", "misaligned"): 1,
        ("pose_frame_faults", "too_far"): 1,
        ("pose_pictures_withheld", "misaligned"): 1,
        ("pose_stage_seconds", "fetch"): 2.0,
        ("pose_stage_seconds", "lift"): 0.5,
    }
    assert len(counts) == len(told) + 1  # two frames are ok


def test_a_scan_that_was_done_already_counts_as_that_alone(counts):
    result: Any = SimpleNamespace(verdict=Verdict.GOOD, frames=())
    counted(lambda: Outcome(result, repeated=True))
    assert counts == [("pose_scans", ["repeated", "none"], 1.0)]


@pytest.mark.parametrize(
    ("each", "reason"),
    [
        (frame(FrameStatus.OK, picture="key"), None),
        (frame(FrameStatus.INVALID), None),
        (frame(FrameStatus.OK, "calibration", "misaligned"), "misaligned"),
        (frame(FrameStatus.OK, "orientation"), "orientation"),
        (frame(FrameStatus.NO_PERSON, "person_count"), "no_person"),
        (frame(FrameStatus.SEVERAL_PERSONS, "person_count"), "head"),
    ],
)
def test_why_a_picture_is_withheld(each, reason):
    assert why_withheld(each) == reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidScan("scan", "frames", "it has none"), "invalid"),
        (ScanTooLarge("too many files"), "too_large"),
        (Quarantined("poison"), "quarantine"),
        (ScanMissing("no files"), "incomplete"),
        (StorageUnavailable("it is full"), "storage"),
        (TimeLimitReached("the storage of scans"), "storage"),
        (TimeLimitReached(), "time_limit"),
        (LedgerUnavailable("it is away"), "ledger"),
        (PoseError("no device"), "model"),
        (MemoryError(), "machine"),
        (KeyError("bug"), "unknown"),
    ],
)
def test_each_error_has_a_class(error, expected):
    assert reason_class_of(error, classify_error(error).fault) == expected
    assert expected != Fault.SCAN.name.lower()


def test_the_memory_of_the_gpu_is_told_after_each_attempt(counts, monkeypatch):
    def failing(device: int) -> tuple[int, int]:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (30, 80))
    result: Any = SimpleNamespace(verdict=None, frames=())
    counted(lambda: Outcome(result, repeated=True))
    assert counts[:2] == [
        ("pose_gpu_memory_bytes", ["cuda:1", "used"], 50.0),
        ("pose_gpu_memory_bytes", ["cuda:1", "total"], 80.0),
    ]
    del counts[:]
    monkeypatch.setattr("torch.cuda.mem_get_info", failing)
    counted(lambda: Outcome(result, repeated=True))
    assert [name for name, _, _ in counts] == ["pose_scans"]
