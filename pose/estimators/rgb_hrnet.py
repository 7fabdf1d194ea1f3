"""The RGB estimators: a detector finds the people in the picture, then HRNet the keypoints of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pose.checks import check_each
from pose.estimators.base import Detections, Estimator, Person
from pose.estimators.detector import MIN_SCORE
from pose.estimators.topdown import TopDown
from pose.geometry.orientation import is_known_step, turn_picture, turns_for_step, unturn_points
from pose.scan.frame import Frame

FloatArray = NDArray[np.float64]

LOW_CONFIDENCE_SCORE: Final = 0.3  # boxes with a higher score are covered, even if they are not people
_MAX_LOW_CONFIDENCE: Final = 4  # a picture: each costs as much time as a person
_ALL_TURNS: Final = (0, 1, 2, 3)


class PersonDetector(Protocol):
    """Finds the boxes of people: `pose.estimators.detector.Detector`, or a fake in a test."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def min_score(self) -> float: ...

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[FloatArray, FloatArray]]:
        """Return boxes (n, 4) and scores (n,) of each picture, the highest score first."""
        ...


class RGBHRNet(Estimator):
    """Finds people in pictures. Depth maps add low-confidence detections only.

    A picture is turned upright first, as its step says. If the step is unknown, all four turns are tried,
    and the one whose best person has the highest score is used. If the detector finds nobody, so does this:
    the whole picture is never taken as a person's box.

    Args:
        detector: finds the people.
        pose: finds their keypoints.
        name: of the model.
        weights_version: of the weights of `pose`.
        depth: finds more heads to cover, in depth maps.

    Attributes:
        version: everything that affects the result: the weights of both networks, the detector's minimum
            score if it is not the usual one, and the flip test.
    """

    def __init__(
        self, detector: PersonDetector, pose: TopDown, name: str, weights_version: str, depth: Estimator
    ) -> None:
        self.name = name
        self.detector = detector
        self.pose = pose
        self.depth = depth
        parts = [weights_version, f"{detector.name}-{detector.version}"]
        if detector.min_score != MIN_SCORE:
            parts.append(f"above-{detector.min_score:g}")
        if pose.flip_test:
            parts.append("flip")
        self.version = "/".join(parts)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return people; low-confidence are the detector's other boxes and what the depth network finds.

        Raises:
            ValueError: `frames` are no frames.
        """
        check_each(frames, Frame, "frames")
        in_pictures, in_depth = self._detect_in_pictures(frames), self._detect_in_depth(frames)
        return [
            Detections(found.people, [*found.low_confidence, *more])
            for found, more in zip(in_pictures, in_depth, strict=True)
        ]

    def _detect_in_depth(self, frames: Sequence[Frame]) -> list[list[Person]]:
        """All detections of the depth network. It cannot use frames of an unknown step: none there."""
        found: list[list[Person]] = [[] for _ in frames]
        usable = [i for i, frame in enumerate(frames) if is_known_step(frame.step)]
        for i, detected in zip(usable, self.depth.detect([frames[i] for i in usable]), strict=True):
            found[i] = [*detected.people, *detected.low_confidence]
        return found

    def _detect_in_pictures(self, frames: Sequence[Frame]) -> list[Detections]:
        views = [(frame, turns) for frame in frames for turns in _turns(frame.step)]
        pictures = [turn_picture(frame.rgb, turns) for frame, turns in views]
        detected = [self._limit(*found) for found in self.detector.detect(pictures)]
        posed = self.pose.predict(pictures, [boxes for boxes, _ in detected])
        of_views = []
        for (frame, turns), (boxes, box_scores), (keypoints, scores) in zip(
            views, detected, posed, strict=True
        ):
            people = _people(frame, turns, boxes, box_scores, keypoints, scores)
            count = self._count_people(box_scores)
            of_views.append(Detections(people[:count], people[count:]))
        found: list[Detections] = []
        first = 0
        for frame in frames:
            after = first + len(_turns(frame.step))
            found.append(max(of_views[first:after], key=lambda of_view: _best_score(of_view.people)))
            first = after
        return found

    def _count_people(self, scores: FloatArray) -> int:
        """How many of these scores, the highest first, are high enough for a person."""
        return int((scores > self.detector.min_score).sum())

    def _limit(self, boxes: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All people, and not too many low-confidence boxes."""
        most = self._count_people(scores) + _MAX_LOW_CONFIDENCE
        return boxes[:most], scores[:most]


def _turns(step: int) -> tuple[int, ...]:
    return (turns_for_step(step),) if is_known_step(step) else _ALL_TURNS


def _best_score(people: list[Person]) -> float:
    return max((person.score for person in people), default=-1.0)


def _people(
    frame: Frame,
    turns: int,
    boxes: FloatArray,
    box_scores: FloatArray,
    keypoints: FloatArray,
    scores: FloatArray,
) -> list[Person]:
    """Detections in the turned picture -> people in the original picture.

    Args:
        boxes, box_scores: (n, 4) and (n,).
        keypoints, scores: (n, 17, 2) and (n, 17).
    """
    width, height = frame.picture_size
    points = unturn_points(keypoints, turns, width, height)
    corners = unturn_points(boxes.reshape(-1, 2, 2), turns, width, height)  # two opposite corners of each
    corners = np.clip(corners, 0, (width - 1, height - 1))
    low, high = corners.min(axis=1).tolist(), corners.max(axis=1).tolist()
    # A heatmap's maximum is not a probability: it may be slightly outside 0..1.
    return [
        Person(points[i], np.clip(scores[i], 0, 1), (*low[i], *high[i]), float(np.clip(box_scores[i], 0, 1)))
        for i in range(len(boxes))
    ]
