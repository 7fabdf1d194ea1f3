"""The lines that `pose run` prints about a scan."""

from __future__ import annotations

import traceback
from pathlib import Path

from pose.cli.output import one_line
from pose.errors import PoseError
from pose.results import DriftResult, Estimate, FrameStatus, ScanResult


def summary(result: ScanResult, seconds: float) -> str:
    """Return one line about a scan."""
    length, stature = (
        _figure(*each)
        for each in (
            (result.body_length_m, result.body_length_estimate_m),
            (result.stature_m, result.stature_estimate_m),
        )
    )
    counts = [f"{result.frames_used} of {len(result.frames)} frames used"]
    for status in FrameStatus:
        number = sum(frame.status is status for frame in result.frames)
        if status is not FrameStatus.OK and number:
            counts.append(f"{number} {status.value.replace('_', ' ')}")
    withheld = sum(frame.picture is None for frame in result.frames)
    if withheld:
        counts.append(f"{withheld} without picture")
    posture = f"{result.posture.value} ({result.posture_confidence:.2f})"
    figures = f"{posture}  stature {stature}  body length {length}  verdict {result.verdict}"
    return f"{result.scan_id}  {figures}  {', '.join(counts)}  {seconds:.1f} s"


def _figure(value: float | None, estimate: Estimate | None) -> str:
    """Return a length in centimetres with its interval; "-" if it is unknown."""
    if value is None:
        return "-"
    ends = "" if estimate is None else f" ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
    return f"{100 * value:.1f} cm{ends}"


def reason_lines(result: ScanResult) -> list[str]:
    """Return one line for each thing that the field worker can do better."""
    return [f"{result.scan_id}  {reason.text}" for reason in result.verdict_reasons]


def ignored_line(scan_id: str, ignored: tuple[str, ...]) -> str:
    """Return one line about what of a scan was not used."""
    return f"{scan_id}  not used: {'; '.join(ignored)}"


def drift_line(scan_id: str, drift: DriftResult) -> str:
    """Return one line about how far the detections of two models are apart in a scan."""
    start = f"{scan_id}  drift against {drift.model.name}: "
    if drift.distance is None or drift.offset_px is None:
        return start + "nothing to compare"
    alarm = "ALARM: " if drift.alarm else ""
    du, dv = drift.offset_px
    return (
        f"{start}{alarm}{drift.distance:.3f} torso lengths (limit {drift.limit}), "
        f"offset {du:+.1f} {dv:+.1f} px, worst {drift.worst_joint} {drift.worst_distance:.2f}, "
        f"{drift.frames} frames"
    )


def failure(error: Exception) -> str:
    """Return why a scan failed, in one line and without a path: it may contain a person's code."""
    if isinstance(error, OSError):
        return f"a file cannot be read or written: {error.strerror or type(error).__name__}"
    if isinstance(error, PoseError | ValueError):
        return one_line(str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return "the memory is too small for this scan: choose a smaller --batch-size"
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return f"unexpected {type(error).__name__} in {place}; please report it"
