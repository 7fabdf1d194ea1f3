"""How good an estimator is on rendered scans that no training saw: `python -m pose.evaluation.estimator`.

Keypoints are right within 0.2 torso lengths of the truth (PCK@0.2; Yang and Ramanan, "Articulated human
detection with flexible mixtures of parts", 2013; the torso is the distance in the picture from the middle of
the shoulders to the middle of the hips). Only visible keypoints count; those of a child that was not found
are wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import pose
from pose import keypoints as kp
from pose.estimators.base import Person
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.loading import choose_device
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render

FRAMES = 3  # of each scan
_SCANS = "Held-out scans, half of them standing, half lying."
_PROGRESS = Console(stderr=True)  # what is printed on stdout is JSON
_PICTURE = (240, 180)  # black: the depth network does not look at it, and nothing here does
_LIMBS = {"shoulders": (5, 6), "elbows": (7, 8), "wrists": (9, 10)}
_LIMBS |= {"hips": (11, 12), "knees": (13, 14), "ankles": (15, 16)}
_GROUPS: dict[str, tuple[int, ...]] = {"head": kp.HEAD, **_LIMBS}


@dataclass
class Tally:
    """What was found on the scans of one posture.

    Attributes:
        right, visible: (17,) how often a keypoint was found where it is, and how often it was visible.
        posture_right: scans whose posture was told.
        unused: scans without a frame that could be used.
        found: frames in which somebody was found; `extra` people in them beyond those that are there.
        length_cm: a scan's body length less the true one; `joint_cm` distances of visible joints in 3D.
        scores: mean keypoint score of the child of each frame.
    """

    right: NDArray[np.int64] = field(default_factory=lambda: np.zeros(17, np.int64))
    visible: NDArray[np.int64] = field(default_factory=lambda: np.zeros(17, np.int64))
    scans: int = 0
    posture_right: int = 0
    unused: int = 0
    frames: int = 0
    found: int = 0
    extra: int = 0
    length_cm: list[float] = field(default_factory=list)
    joint_cm: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def frame_of(rendering: Rendering, order: int) -> pose.Frame:
    """A rendering as a frame of a scan, with a black picture."""
    black = np.zeros((_PICTURE[1], _PICTURE[0], 3), np.uint8)
    return pose.Frame(order, rendering.scene.step, black, rendering.depthmap)


def scan_of(seed: int, posture: str, *, careful: bool = True) -> tuple[pose.Scan, list[Rendering]]:
    """A held-out scan of `FRAMES` frames, a third of a real one's apart, and its renderings."""
    renderings = [render(seed, posture, frame=3 * i, careful=careful) for i in range(FRAMES)]
    frames = tuple(frame_of(rendering, order) for order, rendering in enumerate(renderings))
    return pose.Scan(frames[0].step, frames, (), digest=f"{seed:064x}"), renderings


def tally_scan(tally: Tally, estimator: pose.Estimator, seed: int, posture: str, *, careful: bool) -> None:
    """Adds to `tally` what an estimator, and the analysis with it, finds on one scan."""
    scan, renderings = scan_of(seed, posture, careful=careful)
    tally.scans += 1
    for frame, rendering, people in zip(
        scan.frames, renderings, estimator.estimate(scan.frames), strict=True
    ):
        _tally_frame(tally, frame, rendering, people)
    analysis = pose.analyse_scan(scan, estimator)
    tally.posture_right += analysis.result.posture == posture
    tally.unused += analysis.result.frames_used == 0
    if analysis.result.body_length_m is not None:
        truth = float(np.median([rendering.scene.people[0].length for rendering in renderings]))
        tally.length_cm.append(100 * (analysis.result.body_length_m - truth))
    for frame_result, rendering in zip(analysis.result.frames, renderings, strict=True):
        joints = frame_result.people[0].skeleton if len(frame_result.people) == 1 else None
        if joints is not None:
            found = np.array([(joint.x, joint.y, joint.z) for joint in joints])
            seen = np.array([joint.observed for joint in joints])
            _, visible = rendering.keypoints(rendering.scene.people[0])
            error = np.linalg.norm(found - rendering.scene.people[0].joints, axis=1)
            tally.joint_cm += (100 * error[seen & visible]).tolist()


def _tally_frame(tally: Tally, frame: pose.Frame, rendering: Rendering, people: list[Person]) -> None:
    child: SyntheticPerson = rendering.scene.people[0]
    in_depth, visible = rendering.keypoints(child)
    truth = frame.view.to_picture(in_depth)
    torso = float(np.linalg.norm(truth[[5, 6]].mean(axis=0) - truth[[11, 12]].mean(axis=0)))
    tally.frames += 1
    tally.visible += visible
    tally.extra += max(len(people) - len(rendering.scene.people), 0)
    if not people:
        return
    tally.found += 1
    errors = [np.linalg.norm(person.keypoints - truth, axis=1) for person in people]
    nearest = min(range(len(people)), key=lambda i: float(np.median(errors[i])))
    tally.right += visible & (errors[nearest] < 0.2 * torso)
    tally.scores.append(people[nearest].score)


def report(tally: Tally) -> dict[str, Any]:
    """What was found, as shares and centimetres; None where there was nothing to measure."""
    return {
        "scans": tally.scans,
        "pck_0.2": _share(tally.right.sum(), tally.visible.sum()),
        "pck_by_group": {
            name: _share(tally.right[list(group)].sum(), tally.visible[list(group)].sum())
            for name, group in _GROUPS.items()
        },
        "posture_right": _share(tally.posture_right, tally.scans),
        "child_found": _share(tally.found, tally.frames),
        "people_too_many_per_frame": _share(tally.extra, tally.frames),
        "scans_without_used_frame": tally.unused,
        "body_length_error_cm_median": _percentile(np.abs(tally.length_cm), 50),
        "body_length_bias_cm_median": _percentile(tally.length_cm, 50),
        "joint_error_cm_median": _percentile(tally.joint_cm, 50),
        "score_p05": _percentile(tally.scores, 5),
    }


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole else None


def _percentile(values: list[float] | NDArray[np.float64], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if len(values) else None


def empty_rooms(estimator: pose.Estimator, rooms: int, *, careful: bool) -> dict[str, Any]:
    """In how many rooms without anybody nobody was found."""
    nobody = 0
    for seed in track(range(rooms), "empty rooms", console=_PROGRESS):
        nobody += not estimator.estimate([frame_of(render(seed, "empty", careful=careful), 0)])[0]
    return {"rooms": rooms, "nobody_found": _share(nobody, rooms)}


def evaluate(estimator: pose.Estimator, scans: int, rooms: int, *, careful: bool = True) -> dict[str, Any]:
    """Measures an estimator on held-out renderings.

    Args:
        scans: how many with a child, in turn standing and lying, with `FRAMES` frames each.
        rooms: how many without anybody.
        careful: see `sample_scene`.

    Returns:
        a record for `json.dumps`: a `report` for each posture, shares over both, and of the rooms.
    """
    tallies = {"standing": Tally(), "lying": Tally()}
    for number in track(range(scans), "scans", console=_PROGRESS):
        posture = ("standing", "lying")[number % 2]
        tally_scan(tallies[posture], estimator, number // 2, posture, careful=careful)
    both = tallies.values()
    return {
        "model": estimator.name,
        "version": estimator.version,
        "careful": careful,
        **{posture: report(tally) for posture, tally in tallies.items()},
        "pck_0.2": _share(sum(t.right.sum() for t in both), sum(t.visible.sum() for t in both)),
        "posture_right": _share(sum(t.posture_right for t in both), scans),
        "empty": empty_rooms(estimator, rooms, careful=careful),
    }


def main(
    scans: Annotated[int, typer.Option(min=0, max=2 * FIRST_TRAINING_SEED, help=_SCANS)] = 200,
    rooms: Annotated[int, typer.Option(min=0, max=FIRST_TRAINING_SEED, help="Empty rooms.")] = 100,
    careless: Annotated[bool, typer.Option(help="Views and sensors that the guidelines forbid.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights other than the package's own.")] = None,
    plush: Annotated[Path | None, typer.Option(help="A scan without people, as the plush dog's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Measure the depth network on held-out renderings and print what it reaches, as JSON."""
    estimator = DepthHRNet(weights, device=choose_device(device))
    found = evaluate(estimator, scans, rooms, careful=not careless)
    if plush is not None:
        people = estimator.estimate(pose.read_scan(plush).frames)
        found["plush_people"] = [len(each) for each in people]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    typer.run(main)
