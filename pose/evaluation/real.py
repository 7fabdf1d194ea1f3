"""Measure the shipped model on real scans whose truth was recorded by hand: `make evaluate ARGS="--real
FOLDER"`.

The folder holds scans, and `truth.json`: for each scan `posture`, `stature_m`, and for each frame `joints` by
name, (u, v) in pixels of the upright picture, and the names of `hidden` ones, which are guesses and do not
count. In a scan of the folder that `truth.json` does not name, nobody is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

import pose
from pose import keypoints as kp
from pose.evaluation.harness import share, torso_length
from pose.geometry.orientation import turns_for_step, unturn_points

TRUTH: Final = "truth.json"
NEAR: Final = (0.2, 0.1)  # torso lengths
BODY_SHARE: Final = 0.835  # usual length from eye to ankle, as a share of the stature


class TrueFrame(BaseModel):
    """The joints of a frame in pixels of the upright picture, and the names of those that are guesses."""

    model_config = ConfigDict(extra="ignore")
    joints: dict[str, tuple[float, float]]
    hidden: list[str] = Field(default_factory=list)


class TrueScan(BaseModel):
    """What was recorded of a scan by hand."""

    model_config = ConfigDict(extra="ignore")
    posture: pose.Posture
    stature_m: Annotated[float, Field(gt=0)] | None = None
    frames: list[TrueFrame]


@dataclass
class _Joints:
    """Counts of joints over frames: how many are marked, and how many were found within each of `NEAR`."""

    marked: int = 0
    found: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(NEAR), np.int64))


def evaluate_real(estimator: pose.Estimator, folder: Path) -> dict[str, Any]:
    """Return a record for `json.dumps`: what was found in each scan of a folder, and shares over all.

    Raises:
        OSError, ValueError: there is no such folder, or no `truth.json` as it is described above.
        InvalidScan: a scan cannot be read.
    """
    truths = TypeAdapter(dict[str, TrueScan]).validate_json((folder / TRUTH).read_bytes())
    joints, scans = _Joints(), {}
    for path in sorted(each for each in folder.iterdir() if each.is_dir()):
        scans[path.name] = _scan_record(estimator, pose.read_scan(path), truths.get(path.name), joints)
    known = [record for record in scans.values() if "posture_right" in record]
    return {
        "scans": scans,
        **{
            f"pck_{near}": share(int(count), joints.marked)
            for near, count in zip(NEAR, joints.found, strict=True)
        },
        "marked_joints": joints.marked,
        "posture_right": share(sum(record["posture_right"] for record in known), len(known)),
        "with_body_length": share(sum(record["body_length_m"] is not None for record in known), len(known)),
    }


def _scan_record(
    estimator: pose.Estimator, scan: pose.Scan, truth: TrueScan | None, joints: _Joints
) -> dict[str, Any]:
    analysis = pose.analyse_scan(scan, estimator, scan_id="real")
    result, length = analysis.result, analysis.result.body_length_estimate_m
    record: dict[str, Any] = {"people": [len(frame.people) for frame in result.frames]}
    if truth is None:
        return record
    own = _Joints()
    found_in = {frame.order: frame.people for frame in result.frames}
    for frame, marked in zip(scan.frames, truth.frames, strict=True):
        _tally(own, frame, marked, found_in[frame.order])
    joints.marked += own.marked
    joints.found += own.found
    return record | {
        **{f"pck_{near}": share(int(count), own.marked) for near, count in zip(NEAR, own.found, strict=True)},
        "posture": result.posture.value,
        "posture_right": result.posture is truth.posture,
        "body_length_m": result.body_length_m,
        "interval_m": None if length is None else [length.low, length.high],
        "usual_length_m": None if truth.stature_m is None else round(BODY_SHARE * truth.stature_m, 3),
        "frames_used": result.frames_used,
        "weights": [frame.weight for frame in result.frames],
        "verdict": None if result.verdict is None else result.verdict.value,
        "reasons": [reason.text for reason in result.verdict_reasons],
    }


def _tally(
    joints: _Joints,
    frame: pose.Frame,
    truth: TrueFrame,
    people: Sequence[pose.PersonResult],
) -> None:
    """Count the joints that are near their marks. Of several people, take the one with the highest score."""
    upright = np.array([truth.joints.get(name, (np.nan, np.nan)) for name in kp.NAMES])
    marks = unturn_points(upright, turns_for_step(frame.step), *frame.picture_size)
    seen = np.array([name in truth.joints and name not in truth.hidden for name in kp.NAMES])
    joints.marked += int(seen.sum())
    if not people:
        return
    person = max(people, key=lambda each: each.score)
    found = np.array([(point.u, point.v) for point in person.keypoints])
    distance = np.linalg.norm(found - marks, axis=1) / torso_length(marks)
    joints.found += [int((distance[seen] <= near).sum()) for near in NEAR]
