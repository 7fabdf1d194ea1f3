"""Measure an estimator on rendered scans held out from training: `python -m pose.evaluation.estimator`.

A keypoint is right within 0.2 torso lengths of the truth (PCK@0.2; Yang and Ramanan, "Articulated human
detection with flexible mixtures of parts", 2013). The torso length is the distance in the picture from the
middle of the shoulders to the middle of the hips. Only visible keypoints count; if the child is not found,
all of them are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose import keypoints as kp
from pose.estimators.base import Person
from pose.evaluation.harness import (
    POSTURES,
    Careless,
    Device,
    Weights,
    load_depth_network,
    percentile,
    print_report,
    progress,
    render_scan,
    share,
    to_frame,
    torso_length,
)
from pose.evaluation.real import measure_real
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render

MAX_ERROR: Final = 0.2  # torso lengths
SMALL_ERROR: Final = 0.1
_GROUPS: Final[dict[str, tuple[int, ...]]] = {
    "head": kp.HEAD,
    "shoulders": (5, 6),
    "elbows": (7, 8),
    "wrists": (9, 10),
    "hips": (11, 12),
    "knees": (13, 14),
    "ankles": (15, 16),
}


@dataclass
class Tally:
    """Counts over the scans of one posture.

    Attributes:
        right, visible: (17,) frames in which a keypoint was found in the right place, and was visible.
        exact: (17,) the same within `SMALL_ERROR`.
        posture_right: scans whose posture was classified correctly.
        unused: scans without a usable frame.
        found: frames in which a person was found.
        extra: people found beyond those in the scene.
        length_cm: body length of each scan minus the true one.
        joint_cm: 3D distances of visible joints to the true ones.
        scores: mean keypoint score of the child in each frame.
    """

    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(17, np.int64))
    visible: NDArray[np.int64] = field(default_factory=lambda: np.zeros(17, np.int64))
    exact: NDArray[np.int64] = field(default_factory=lambda: np.zeros(17, np.int64))
    scans: int = 0
    posture_right: int = 0
    unused: int = 0
    frames: int = 0
    found: int = 0
    extra: int = 0
    length_cm: list[float] = field(default_factory=list)
    joint_cm: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def tally_scan(tally: Tally, estimator: pose.Estimator, seed: int, posture: str, *, careful: bool) -> None:
    """Add to `tally` what the estimator, and the analysis with it, finds in one scan."""
    scan, renderings = render_scan(seed, posture, careful=careful)
    tally.scans += 1
    people_of_frames = estimator.estimate(scan.frames)
    for frame, rendering, people in zip(scan.frames, renderings, people_of_frames, strict=True):
        _tally_frame(tally, frame, rendering, people)
    result = pose.analyse_scan(scan, estimator).result
    tally.posture_right += result.posture == posture
    tally.unused += result.frames_used == 0
    if result.body_length_m is not None:
        truth = float(np.median([rendering.scene.people[0].length for rendering in renderings]))
        tally.length_cm.append(100 * (result.body_length_m - truth))
    for frame_result, rendering in zip(result.frames, renderings, strict=True):
        joints = frame_result.people[0].skeleton if len(frame_result.people) == 1 else None
        if joints is not None:
            child = rendering.scene.people[0]
            found = np.array([(joint.x, joint.y, joint.z) for joint in joints])
            observed = np.array([joint.observed for joint in joints])
            _, visible = rendering.keypoints(child)
            error = np.linalg.norm(found - child.joints, axis=1)
            tally.joint_cm += (100 * error[observed & visible]).tolist()


def _tally_frame(tally: Tally, frame: pose.Frame, rendering: Rendering, people: list[Person]) -> None:
    in_depth, visible = rendering.keypoints(rendering.scene.people[0])
    truth = frame.view.to_picture(in_depth)
    tally.frames += 1
    tally.visible += visible
    tally.extra += max(len(people) - len(rendering.scene.people), 0)
    if not people:
        return
    tally.found += 1
    errors = [np.linalg.norm(person.keypoints - truth, axis=1) for person in people]
    nearest = min(range(len(people)), key=lambda i: float(np.median(errors[i])))
    tally.right += visible & (errors[nearest] < MAX_ERROR * torso_length(truth))
    tally.exact += visible & (errors[nearest] < SMALL_ERROR * torso_length(truth))
    tally.scores.append(people[nearest].score)


def report(tally: Tally) -> dict[str, Any]:
    """Return shares and centimetres as a record for `json.dumps`; None where nothing was measured."""
    return {
        "scans": tally.scans,
        "pck_0.2": share(tally.right.sum(), tally.visible.sum()),
        "pck_0.1": share(tally.exact.sum(), tally.visible.sum()),
        "pck_by_group": {
            name: share(tally.right[list(group)].sum(), tally.visible[list(group)].sum())
            for name, group in _GROUPS.items()
        },
        "posture_right": share(tally.posture_right, tally.scans),
        "child_found": share(tally.found, tally.frames),
        "people_too_many_per_frame": share(tally.extra, tally.frames),
        "scans_without_used_frame": tally.unused,
        "body_length_error_cm_median": percentile(np.abs(tally.length_cm), 50),
        "body_length_bias_cm_median": percentile(tally.length_cm, 50),
        "joint_error_cm_median": percentile(tally.joint_cm, 50),
        "score_p05": percentile(tally.scores, 5),
    }


def empty_rooms(estimator: pose.Estimator, rooms: int, *, careful: bool) -> dict[str, Any]:
    """Return the share of empty rooms in which nobody was found."""
    nobody = 0
    for seed in progress(rooms, "empty rooms"):
        nobody += not estimator.estimate([to_frame(render(seed, "empty", careful=careful), 0)])[0]
    return {"rooms": rooms, "nobody_found": share(nobody, rooms)}


def evaluate(estimator: pose.Estimator, scans: int, rooms: int, *, careful: bool = True) -> dict[str, Any]:
    """Measure an estimator on held-out renderings.

    Args:
        scans: number of scans with a child, standing and lying in turn.
        rooms: number of empty rooms.
        careful: see `sample_scene`.

    Returns:
        a record for `json.dumps`: a `report` for each posture, shares over both, and those of the rooms.
    """
    tallies = {posture: Tally() for posture in POSTURES}
    for number in progress(scans, "scans"):
        posture = POSTURES[number % 2]
        tally_scan(tallies[posture], estimator, number // 2, posture, careful=careful)
    both = tallies.values()
    return {
        "model": estimator.name,
        "version": estimator.version,
        "careful": careful,
        **{posture: report(tally) for posture, tally in tallies.items()},
        "pck_0.2": share(sum(t.right.sum() for t in both), sum(t.visible.sum() for t in both)),
        "pck_0.1": share(sum(t.exact.sum() for t in both), sum(t.visible.sum() for t in both)),
        "posture_right": share(sum(t.posture_right for t in both), scans),
        "empty": empty_rooms(estimator, rooms, careful=careful),
    }


def main(
    scans: Annotated[
        int, typer.Option(min=0, max=2 * FIRST_TRAINING_SEED, help="Scans, standing and lying in turn.")
    ] = 200,
    rooms: Annotated[int, typer.Option(min=0, max=FIRST_TRAINING_SEED, help="Empty rooms.")] = 100,
    careless: Careless = False,
    weights: Weights = None,
    plush: Annotated[Path | None, typer.Option(help="A scan without people, as the plush dog's.")] = None,
    real: Annotated[
        Path | None, typer.Option(help="Only measure on real scans: a folder of them with truth.json.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Measure the depth network on held-out rendered scans and print the report as JSON."""
    estimator = load_depth_network(weights, device)
    if real is not None:
        print_report(measure_real(estimator, real))
        return
    found = evaluate(estimator, scans, rooms, careful=not careless)
    if plush is not None:
        found["plush_people"] = [len(each) for each in estimator.estimate(pose.read_scan(plush).frames)]
    print_report(found)


if __name__ == "__main__":
    typer.run(main)
