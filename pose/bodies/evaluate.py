"""How good an estimator is on rendered scans that no training saw: `python -m pose.bodies.evaluate`.

Keypoints are right within 0.2 torso lengths of the truth (PCK@0.2; Yang and Ramanan, "Articulated human
detection with flexible mixtures of parts", 2013; the torso is the distance in the picture from the middle of
the shoulders to the middle of the hips). Only visible keypoints count; those of a child that was not found are wrong.
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
from pose.bodies.body import Body
from pose.bodies.rendering import Rendering, render
from pose.bodies.samples import FIRST_TRAINING_SEED
from pose.estimator import Person

FRAMES = 3  # of each scan
_PICTURE = (240, 180)  # black: the depth network does not look at it, and nothing here does
_GROUPS = {"head": kp.HEAD, "shoulders": (5, 6), "elbows": (7, 8), "wrists": (9, 10),
           "hips": (11, 12), "knees": (13, 14), "ankles": (15, 16)}  # fmt: skip


@dataclass
class Tally:
    """What was found on the scans of one posture."""

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
    black = np.zeros((_PICTURE[1], _PICTURE[0], 3), np.uint8)
    return pose.Frame(order, rendering.scene.step, black, rendering.depthmap)


def scan_of(seed: int, posture: str, *, careful: bool = True) -> tuple[pose.Scan, list[Rendering]]:
    """A held-out scan of `FRAMES` frames, a third of a real one's apart, and its renderings."""
    renderings = [render(seed, posture, frame=3 * i, careful=careful) for i in range(FRAMES)]
    frames = tuple(frame_of(rendering, order) for order, rendering in enumerate(renderings))
    return pose.Scan(frames[0].step, frames, (), digest=f"{seed:064x}"), renderings


def tally_scan(tally: Tally, estimator: pose.Estimator, seed: int, posture: str, *, careful: bool) -> None:
    scan, renderings = scan_of(seed, posture, careful=careful)
    tally.scans += 1
    for frame, rendering, people in zip(scan.frames, renderings, estimator.estimate(scan.frames), strict=True):
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
            _, visible = rendering.truth(rendering.scene.people[0])
            error = np.linalg.norm(found - rendering.scene.people[0].joints, axis=1)
            tally.joint_cm += (100 * error[seen & visible]).tolist()


def _tally_frame(tally: Tally, frame: pose.Frame, rendering: Rendering, people: list[Person]) -> None:
    child: Body = rendering.scene.people[0]
    in_depth, visible = rendering.truth(child)
    truth = frame.to_picture(in_depth)
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
    groups = {
        name: round(float(tally.right[list(g)].sum() / max(tally.visible[list(g)].sum(), 1)), 4)
        for name, g in _GROUPS.items()
    }
    length = np.abs(tally.length_cm) if tally.length_cm else np.array([np.nan])
    return {
        "scans": tally.scans,
        "pck_0.2": round(float(tally.right.sum() / tally.visible.sum()), 4),
        "pck_by_group": groups,
        "posture_right": round(tally.posture_right / tally.scans, 4),
        "child_found": round(tally.found / tally.frames, 4),
        "people_too_many_per_frame": round(tally.extra / tally.frames, 4),
        "scans_without_used_frame": tally.unused,
        "body_length_error_cm_median": round(float(np.median(length)), 2),
        "body_length_bias_cm_median": round(float(np.median(tally.length_cm or [np.nan])), 2),
        "joint_error_cm_median": round(float(np.median(tally.joint_cm or [np.nan])), 2),
        "score_p05": round(float(np.percentile(tally.scores or [0.0], 5)), 3),
    }


def empty_rooms(estimator: pose.Estimator, rooms: int, *, careful: bool) -> dict[str, Any]:
    """In how many rooms without anybody nobody was found."""
    nobody = 0
    for seed in track(range(rooms), "empty rooms"):
        nobody += not estimator.estimate([frame_of(render(seed, "empty", careful=careful), 0)])[0]
    return {"rooms": rooms, "nobody_found": round(nobody / rooms, 4)}


def main(
    scans: Annotated[int, typer.Option(help="Held-out scans, half of them standing, half lying.")] = 200,
    rooms: Annotated[int, typer.Option(help="Empty rooms.")] = 100,
    careless: Annotated[bool, typer.Option(help="Views and sensors beyond what the guidelines ask for.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights other than the package's own.")] = None,
    plush: Annotated[Path | None, typer.Option(help="A scan in which nobody is, such as the plush dog's.")] = None,
    device: str = "cpu",
) -> None:
    """Measure the depth network on held-out renderings and print what it reaches, as JSON."""
    from pose.depth_hrnet import DepthHRNet
    from pose.estimator import choose_device

    if scans > 2 * FIRST_TRAINING_SEED:
        raise typer.BadParameter("there are not so many held-out seeds", param_hint="--scans")
    estimator = DepthHRNet(weights, device=choose_device(device))
    found: dict[str, Any] = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    tallies = {"standing": Tally(), "lying": Tally()}
    for number in track(range(scans), "scans", console=Console(stderr=True)):
        posture = ("standing", "lying")[number % 2]
        tally_scan(tallies[posture], estimator, number // 2, posture, careful=not careless)
    found |= {posture: report(tally) for posture, tally in tallies.items()}
    right, visible = (sum(getattr(t, name).sum() for t in tallies.values()) for name in ("right", "visible"))
    found["pck_0.2"] = round(float(right / visible), 4)
    found["posture_right"] = round(sum(t.posture_right for t in tallies.values()) / scans, 4)
    found["empty"] = empty_rooms(estimator, rooms, careful=not careless)
    if plush is not None:
        people = estimator.estimate(pose.read_scan(plush).frames)
        found["plush_people"] = [len(each) for each in people]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    typer.run(main)
