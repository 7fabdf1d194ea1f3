"""Measure the drift between the depth network and the truth over a scan: `make drift`.

A perfect RGB model would differ from the depth network by this much, so `pose.analysis.drift.LIMIT` must be
above nearly all of these values. The same scans with depth and picture moved against each other show which
moves raise the alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose.analysis.drift import LIMIT, MIN_KEYPOINTS, Drift, compare
from pose.estimators.base import Person
from pose.evaluation.harness import (
    POSTURES,
    Careless,
    Device,
    percentile,
    print_report,
    progress,
    render_scan,
    torso_length,
)
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering

MOVES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)  # torso lengths


def true_people(frame: pose.Frame, rendering: Rendering) -> list[Person]:
    """Return the people of a frame as a perfect RGB model finds them; hidden keypoints have score 0."""
    found = []
    for person in rendering.scene.people:
        uv, visible = rendering.keypoints(person)
        points = frame.view.to_picture(uv)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        found.append(Person(points, np.where(visible, 0.95, 0.0), (x0, y0, x1, y1), 0.99))
    return found


def shift_people(people: Sequence[Person], offset: NDArray[np.float64]) -> list[Person]:
    """Return the people with all keypoints shifted by `offset` (2,) pixels, as by a sensor that moved."""
    return [replace(person, keypoints=person.keypoints + offset) for person in people]


def measure(
    estimator: pose.Estimator, scans: int, *, careful: bool = True
) -> tuple[list[Drift], dict[float, list[Drift]]]:
    """Return the drift of each scan as it is, and for each of `MOVES` that of the scans moved this far.

    Each scan is moved in a random direction.
    """
    rng = np.random.default_rng(20)
    unmoved: list[Drift] = []
    moved: dict[float, list[Drift]] = {move: [] for move in MOVES}
    for number in progress(scans, "scans"):
        scan, renderings = render_scan(number // 2, POSTURES[number % 2], careful=careful)
        truth = [true_people(*pair) for pair in zip(scan.frames, renderings, strict=True)]
        found = estimator.estimate(scan.frames)
        unmoved.append(compare(truth, found))
        angle = rng.uniform(0, 2 * np.pi)
        torso = np.median([torso_length(people[0].keypoints) for people in truth])
        step = np.array([np.cos(angle), np.sin(angle)]) * torso
        for move in MOVES:
            moved[move].append(compare(truth, [shift_people(people, move * step) for people in found]))
    return unmoved, moved


def report(unmoved: Sequence[Drift], moved: dict[float, list[Drift]]) -> dict[str, Any]:
    """Return a record for `json.dumps`: distances of the scans, and shares of moved scans with an alarm."""
    judged = [drift for drift in unmoved if drift.keypoints >= MIN_KEYPOINTS]
    distances = [drift.distance for drift in judged if drift.distance is not None]
    return {
        "scans": len(unmoved),
        "judged": len(judged),  # the others show too little of the child
        "limit": LIMIT,
        "distance_percentiles": {p: percentile(distances, p, digits=4) for p in (50, 90, 95, 99, 100)},
        "alarms": sum(drift.alarm for drift in unmoved),
        "noticed_when_moved_by": {
            move: round(sum(drift.alarm for drift in drifts) / max(1, len(judged)), 3)
            for move, drifts in moved.items()
        },
    }


def main(
    scans: Annotated[
        int, typer.Option(min=0, max=2 * FIRST_TRAINING_SEED, help="Scans, standing and lying in turn.")
    ] = 400,
    careless: Careless = False,
    device: Device = "cpu",
) -> None:
    """Measure the drift between the depth network and the truth, and print the report as JSON."""
    estimator = pose.load_estimator("depth-hrnet", device)
    print_report({"careful": not careless, **report(*measure(estimator, scans, careful=not careless))})


if __name__ == "__main__":
    typer.run(main)
