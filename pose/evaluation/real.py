"""Measure an estimator on real scans whose joints people marked: `make evaluate ARGS="--real FOLDER"`.

FOLDER has one folder a scan, and `truth.json`: for each scan with a child its `posture`, `stature_m`, and for
each frame `joints`, by COCO's name, as [u, v] in pixels of the upright picture, and `hidden`, the names of
those that are guesses and do not count. In scans that it does not name, nobody is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import pose
from pose import keypoints as kp
from pose.analysis.length_error import usual_length
from pose.evaluation.harness import share, torso_length
from pose.geometry.orientation import turn_points, turns_for_step
from pose.results import Estimate

ERRORS: Final = (0.2, 0.1)  # torso lengths within which a joint is right
# Body length as a share of the stature, a rule of thumb. On renderings it is the height of the eyes above the
# ankles; the chain from eye to hip, knee and ankle is longer, see `usual_length`.
USUAL: Final = 0.835

FloatArray = NDArray[np.float64]


def measure_real(estimator: pose.Estimator, folder: Path) -> dict[str, Any]:
    """Return what an estimator, and the analysis with it, finds in each scan of a folder.

    Returns:
        a record for `json.dumps`: shares over all marked joints, and figures of each scan.

    Raises:
        FileNotFoundError: the folder has no `truth.json`.
        pose.PoseError: a scan cannot be read.
    """
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    scans: dict[str, Any] = {}
    errors: list[FloatArray] = []
    for path in sorted(each for each in folder.iterdir() if each.is_dir()):
        scan = pose.read_scan(path)
        people = estimator.estimate(scan.frames)
        found: dict[str, Any] = {"people_in_each_frame": [len(each) for each in people]}
        if path.name in truth:
            known = truth[path.name]
            own = [
                joint_errors(frame, each, marked)
                for frame, each, marked in zip(scan.frames, people, known["frames"], strict=True)
            ]
            errors += own
            found |= _shares(own) | _figures(pose.analyse_scan(scan, estimator).result, known)
        scans[path.name] = found
    return {"model": estimator.name, "version": estimator.version, **_shares(errors), "scans": scans}


def joint_errors(frame: pose.Frame, people: list[pose.Person], marked: dict[str, Any]) -> FloatArray:
    """Return the distance of each marked, visible joint to the first person's, (n,) in torso lengths.

    Infinite if nobody was found.
    """
    names = [name for name in marked["joints"] if name not in marked["hidden"]]
    true = np.full((kp.COUNT, 2), np.nan)
    for name, at in marked["joints"].items():
        true[kp.NAMES.index(name)] = at
    rows = [kp.NAMES.index(name) for name in names]
    if not people:
        return np.full(len(rows), np.inf)
    upright = turn_points(people[0].keypoints, turns_for_step(frame.step), *frame.picture_size)
    return np.asarray(np.linalg.norm(upright[rows] - true[rows], axis=1) / torso_length(true))


def _shares(errors: list[FloatArray]) -> dict[str, Any]:
    joined = np.concatenate([*errors, np.zeros(0)])
    return {f"pck_{limit}": share((joined < limit).sum(), len(joined)) for limit in ERRORS}


def _figures(result: pose.ScanResult, known: dict[str, Any]) -> dict[str, Any]:
    return {
        "posture_right": result.posture == known["posture"],
        "stature_m": known["stature_m"],
        "body_length_usual_m": round(USUAL * known["stature_m"], 3),
        "chain_usual_m": round(usual_length(known["stature_m"]), 3),
        "body_length_m": _ends(result.body_length_estimate_m),
        "stature_measured_m": _ends(result.stature_estimate_m),
        "head_height_m": [frame.head_height_m for frame in result.frames],
        "frames_used": result.frames_used,
        "verdict": result.verdict,
        "reasons": [reason.code for reason in result.verdict_reasons],
    }


def _ends(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.low, estimate.value, estimate.high]
