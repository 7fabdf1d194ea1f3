"""Measure whom the detector loses if it does not see every frame: `python benchmarks/boxes.py [--scans 24]`.

Rendered scans of nine frames, half of them with a helper in six of the frames. The depth network is the
real one; detector and HRNet know the truth. So the numbers tell how often the detector runs, who is lost, and
how well the carried boxes fit. They do not tell how much HRNet's keypoints depend on a box.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose import keypoints as kp
from pose.estimators.cached import CachedEstimator
from pose.estimators.carried_boxes import DETECT
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.rgb_hrnet import RGBHRNet
from pose.evaluation.harness import POSTURES, percentile, print_report, progress, share
from pose.geometry.orientation import turn_points
from pose.synthetic.render import render

FRAMES = 9
FIRST_SEED = 950_000
SIZE = (240, 180)
LEAST = 5  # visible keypoints of somebody whom a detector would find

Boxes = NDArray[np.float64]


class Truth:
    """Stands in for both networks. It knows a frame by its grey, and a turn by the place of a white pixel."""

    name, version, min_score, flip_test = "truth", "1", 0.9, False
    runtime, precision = "torch", "fp32"

    def __init__(self, people: list[list[NDArray[np.float64]]]) -> None:
        self.people = people
        self.seen = 0
        self.overlaps: list[float] = []

    def detect(self, pictures: Any) -> list[tuple[Boxes, NDArray[np.float64]]]:
        """Return the box of each person whom the frame shows."""
        self.seen += len(pictures)
        boxes = [self._boxes(picture) for picture in pictures]
        return [(own, np.full(len(own), 0.99)) for own in boxes]

    def predict(self, pictures: Any, boxes: Any) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return the true keypoints of the person that each box fits best."""
        found = []
        for picture, own in zip(pictures, boxes, strict=True):
            true, points = self._boxes(picture), self._points(picture)
            if not len(true) or not len(own):
                found.append((np.zeros((len(own), kp.COUNT, 2)), np.zeros((len(own), kp.COUNT))))
                continue
            fits = np.array([[overlap(box, each) for each in true] for box in own])
            self.overlaps += fits.max(axis=1).tolist()
            keypoints = np.array([points[i] for i in fits.argmax(axis=1)])
            found.append((keypoints, np.full((len(own), kp.COUNT), 0.95)))
        return found

    def _points(self, picture: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        (row,), (column,) = np.nonzero(picture[..., 1])
        corners = [turn_points((0, 0), turns, *SIZE).tolist() for turns in range(4)]
        shapes = [SIZE[::-1] if turns % 2 == 0 else SIZE for turns in range(4)]
        turns = next(i for i in range(4) if corners[i] == [column, row] and shapes[i] == picture.shape[:2])
        return [turn_points(each, turns, *SIZE) for each in self.people[int(picture[0, 0, 0])]]

    def _boxes(self, picture: NDArray[np.uint8]) -> Boxes:
        boxes = []
        for points in self._points(picture):
            low, high = points.min(axis=0), points.max(axis=0)
            margin = 0.06 * float((high - low).max())
            boxes.append([*(low - margin), *(high + margin)])
        return np.array(boxes).reshape(-1, 4)


def overlap(a: Any, b: Any) -> float:
    """Return the intersection over union of two boxes."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    areas = sum(float(np.prod(box[2:] - box[:2])) for box in (a, b))
    return float(sides.prod() / (areas - sides.prod()))


def main(scans: Annotated[int, typer.Option(min=1, help="Rendered scans.")] = 24) -> None:
    """Print how often the detector runs, how many people are lost, and how well boxes fit."""
    depth = DepthHRNet()
    tally: dict[str, dict[str, Any]] = {
        mode: {"runs": 0, "people": 0, "found": 0, "overlaps": []} for mode in DETECT
    }
    for i in progress(scans, "scans"):
        posture = POSTURES[i % 2]
        frames, people = [], []
        for order in range(FRAMES):
            helped = i % 4 >= 2 and (order // 3) % 3 != i % 3
            rendering = render(FIRST_SEED + i, posture, SIZE, frame=order, second_person=helped)
            picture = np.full((SIZE[1], SIZE[0], 3), order, np.uint8)
            picture[..., 1] = 0
            picture[0, 0, 1] = 255
            frames.append(pose.Frame(order, rendering.scene.step, picture, rendering.depthmap))
            known = [rendering.keypoints(person) for person in rendering.scene.people]
            people.append([points for points, visible in known if visible.sum() >= LEAST])
        cached = CachedEstimator(depth)
        for mode in DETECT:
            truth: Any = Truth(people)
            found = RGBHRNet(truth, truth, "truth", "1", cached, mode).detect(frames)
            own = tally[mode]
            own["runs"] += truth.seen
            own["people"] += sum(map(len, people))
            for each, true in zip(found, people, strict=True):
                own["found"] += sum(
                    any(np.abs(person.keypoints - points).max() < 1 for person in each.people)
                    for points in true
                )
            own["overlaps"] += truth.overlaps
    print_report(
        {
            mode: {
                "pictures that the detector sees, of nine": round(own["runs"] / scans, 2),
                "people": own["people"],
                "found": share(own["found"], own["people"]),
                "lost": own["people"] - own["found"],
                "overlap with the true box, median, 1st percentile": [
                    percentile(own["overlaps"], 50),
                    percentile(own["overlaps"], 1),
                ],
            }
            for mode, own in tally.items()
        }
    )


if __name__ == "__main__":
    typer.run(main)
