"""How far the depth network is from the truth over a scan: `make drift`.

A perfect model of pictures would differ from it by this much. So it tells where the alarm of
`pose.analysis.drift` may begin: above nearly all scans in order. The same scans, with their depth moved
against the picture, tell which moves the alarm then notices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import pose
from pose import keypoints as kp
from pose.analysis.drift import LIMIT, MIN_KEYPOINTS, Drift, compare
from pose.estimators.base import Person
from pose.evaluation.estimator import scan_of
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering

MOVES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)  # torso lengths
_SCANS = "Held-out scans, half of them standing, half lying."


def truth_of(frame: pose.Frame, rendering: Rendering) -> list[Person]:
    """The people of a frame as a perfect model of pictures finds them; it guesses no hidden keypoint."""
    found = []
    for body in rendering.scene.people:
        uv, visible = rendering.keypoints(body)
        points = frame.view.to_picture(uv)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        found.append(Person(points, np.where(visible, 0.95, 0.0), (x0, y0, x1, y1), 0.99))
    return found


def moved(people: Sequence[Person], offset: NDArray[np.float64]) -> list[Person]:
    """The same people, (du, dv) pixels away: as a sensor that moved shows them."""
    return [replace(person, keypoints=person.keypoints + offset) for person in people]


def torso_px(people: Sequence[Person]) -> float:
    """Of the first of them."""
    points = people[0].keypoints[list(kp.TORSO)]
    return float(np.linalg.norm(points[:2].mean(axis=0) - points[2:].mean(axis=0)))


def drifts(estimator: pose.Estimator, scans: int, *, careful: bool = True) -> tuple[list[Drift], Any]:
    """Drift of each scan as it is; and for each of `MOVES` that of the same scans, moved that far.

    Every scan is moved in a direction of its own.
    """
    rng = np.random.default_rng(20)
    still: list[Drift] = []
    away: dict[float, list[Drift]] = {move: [] for move in MOVES}
    for number in track(range(scans), "scans", console=Console(stderr=True)):
        scan, renderings = scan_of(number // 2, ("standing", "lying")[number % 2], careful=careful)
        truth = [truth_of(*pair) for pair in zip(scan.frames, renderings, strict=True)]
        found = estimator.estimate(scan.frames)
        still.append(compare(truth, found))
        angle = rng.uniform(0, 2 * np.pi)
        step = np.array([np.cos(angle), np.sin(angle)]) * np.median([torso_px(people) for people in truth])
        for move in MOVES:
            away[move].append(compare(truth, [moved(people, move * step) for people in found]))
    return still, away


def report(still: Sequence[Drift], away: dict[float, list[Drift]]) -> dict[str, Any]:
    """A record for `json.dumps`: the scans' distances, and the share of moved scans that are noticed."""
    judged = [drift for drift in still if drift.keypoints >= MIN_KEYPOINTS]
    distances = [drift.distance for drift in judged if drift.distance is not None]
    percent = (50, 90, 95, 99, 100)
    return {
        "scans": len(still),
        "judged": len(judged),  # in the others too little is seen of the child
        "limit": LIMIT,
        "distance_percentiles": {
            p: round(float(np.percentile(distances, p)), 4) if distances else None for p in percent
        },
        "alarms": sum(drift.alarm for drift in still),
        "noticed_when_moved_by": {
            move: round(sum(drift.alarm for drift in moved_scans) / max(1, len(judged)), 3)
            for move, moved_scans in away.items()
        },
    }


def main(
    scans: Annotated[int, typer.Option(min=0, max=2 * FIRST_TRAINING_SEED, help=_SCANS)] = 400,
    careless: Annotated[bool, typer.Option(help="Views and sensors that the guidelines forbid.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Measure the depth network against the truth of held-out renderings, and print it as JSON."""
    estimator = pose.load_estimator("depth-hrnet", device)
    still, away = drifts(estimator, scans, careful=not careless)
    print(json.dumps({"careful": not careless, **report(still, away)}, indent=1))


if __name__ == "__main__":
    typer.run(main)
