"""Count how an attempt ended, and what its result says. No count names a scan or says a thing of a person."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from worker.counters import count
from worker.scans.cancel import ScanCancelled
from worker.scans.failures import ScanFailed
from worker.scans.process import Outcome
from worker.scans.retry import RetryLater
from worker.scans.tombstones import ScanErased

if TYPE_CHECKING:
    from pose.results import FrameResult, ScanResult

NONE: Final = "none"  # there is no reason
# Faults of a frame that are also reasons to withhold its picture; the first one counts.
_WITHHOLDS: Final = ("misaligned", "calibration", "orientation")


def counted(run: Callable[[], Outcome]) -> Outcome:
    """Run an attempt, count how it ended, and return or raise what it does."""
    try:
        outcome = run()
    except ScanCancelled:
        count("pose_scans", "cancelled", NONE)
        raise
    except ScanErased:
        count("pose_scans", "erased", NONE)
        raise
    except ScanFailed as failed:
        count("pose_scans", "failed", failed.reason_class)
        raise
    except RetryLater as later:
        count("pose_retries", later.reason_class)
        raise
    except Exception:
        count("pose_retries", "unknown")
        raise
    finally:
        _count_gpu_memory()
    if outcome.repeated:
        count("pose_scans", "repeated", NONE)
    else:
        count("pose_scans", "completed", NONE)
        _count_result(outcome.result, outcome.seconds)
    return outcome


def why_withheld(frame: FrameResult) -> str | None:
    """Return the class of the reason why a frame has no picture; None if it has one or could not be read."""
    if frame.picture is not None or frame.status.value == "invalid":
        return None
    faults = [fault for fault in _WITHHOLDS if fault in frame.quality]
    if faults:
        return faults[0]
    # Somebody may have been missed; otherwise the place of a head is not certain.
    return "no_person" if frame.status.value == "no_person" else "head"


def _count_result(result: ScanResult, seconds: dict[str, float]) -> None:
    if result.verdict is not None:
        count("pose_verdicts", result.verdict.value)
    stages = dict(seconds)
    for frame in result.frames:
        count("pose_frames", frame.status.value)
        for fault in frame.quality:
            count("pose_frame_faults", fault)
        reason = why_withheld(frame)
        if reason is not None:
            count("pose_pictures_withheld", reason)
        for stage, milliseconds in frame.timings_ms.items():
            if stage != "total":
                stages[stage] = stages.get(stage, 0.0) + milliseconds / 1000
    for stage, value in stages.items():
        count("pose_stage_seconds", stage, value=value)


def _count_gpu_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        device = torch.cuda.current_device()
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError:  # the device has failed: the attempt says so
        return
    count("pose_gpu_memory_bytes", f"cuda:{device}", "used", value=total - free)
    count("pose_gpu_memory_bytes", f"cuda:{device}", "total", value=total)
