"""The RGB estimators: a detector finds the people in the picture, then HRNet the keypoints of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pose.checks import check_choice, check_each
from pose.estimators.base import Detections, Estimator, Person
from pose.estimators.carried_boxes import (
    DETECT,
    SPARSE,
    Carried,
    DetectOn,
    carry_boxes,
    is_same_pose,
)
from pose.estimators.detector import MIN_SCORE
from pose.estimators.runtime import runtime_version
from pose.estimators.topdown import TopDown
from pose.estimators.upright import TurnedFrame, most_confident
from pose.geometry.orientation import turn_picture, turn_points, unturn_points
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

    A picture is turned upright first, as the depth network found out. If that is not certain, all four turns
    are tried, and the one whose best person has the highest score is used. If the detector finds nobody, so
    does this: the whole picture is never taken as a person's box.

    Args:
        detector: finds the people.
        pose: finds their keypoints.
        name: of the model.
        weights_version: of the weights of `pose`.
        depth: finds more heads to cover, in depth maps, and which way is up.
        detect_on: the frames that the detector sees: "every" one; "sparse": the first of three; "depth": the
            first of each call. Where it does not, its boxes are carried on (`carry_boxes`). Where the
            networks do not agree, it sees the frame all the same. With "sparse" and "depth" the frames of a
            call must be those of one scan, in their order.

    Attributes:
        version: everything that affects the result: the weights of both networks, the detector's minimum
            score and `detect_on` if they are not the usual ones, and the flip test.
    """

    def __init__(
        self,
        detector: PersonDetector,
        pose: TopDown,
        name: str,
        weights_version: str,
        depth: Estimator,
        detect_on: DetectOn = "every",
    ) -> None:
        self.name = name
        self.runtime = runtime_version(pose.runtime, pose.precision)
        self.detector = detector
        self.pose = pose
        self.depth = depth
        self.detect_on = check_choice(detect_on, DETECT, "detect_on")
        parts = [weights_version, f"{detector.name}-{detector.version}"]
        if detector.min_score != MIN_SCORE:
            parts.append(f"above-{detector.min_score:g}")
        if detect_on != "every":
            parts.append(f"detect-{detect_on}")
        if pose.flip_test:
            parts.append("flip")
        self.version = "/".join(parts)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return people; low-confidence are the detector's other boxes and what the depth network finds.

        Raises:
            ValueError: `frames` are no frames.
        """
        check_each(frames, Frame, "frames")
        in_depth = self.depth.detect(frames)
        in_pictures = self._detect_on_some(frames, in_depth)
        return [
            replace(
                found,
                low_confidence=[*found.low_confidence, *more.people, *more.low_confidence],
                in_depth=more.people,
            )
            for found, more in zip(in_pictures, in_depth, strict=True)
        ]

    def _detect_on_some(self, frames: Sequence[Frame], in_depth: Sequence[Detections]) -> list[Detections]:
        """Return the detections in each frame. Run the detector on those that `detect_on` means first."""
        step = {"every": 1, "sparse": SPARSE, "depth": max(1, len(frames))}[self.detect_on]
        found: dict[int, Detections] = {}

        def run_on(numbers: Sequence[int]) -> None:
            if not numbers:
                return
            turns = [_turns(in_depth[i]) for i in numbers]
            some = self._detect_in_pictures([frames[i] for i in numbers], turns)
            found.update(zip(numbers, some, strict=True))

        run_on(range(0, len(frames), step))
        carried: dict[int, Carried] = {}
        for i in range(len(frames)):
            then = i - i % step
            boxes = i != then and carry_boxes(self.detect_on, found[then], in_depth[then], in_depth[i])
            if boxes:
                carried[i] = boxes
        views = [TurnedFrame(frames[i], in_depth[i].turns or 0) for i in carried]
        for i, detections in zip(carried, self._pose_carried(views, list(carried.values())), strict=True):
            if all(map(is_same_pose, detections.people, carried[i].people)):
                turns = found[i - i % step].turns
                found[i] = replace(detections, turns=turns)
        run_on([i for i in range(len(frames)) if i not in found])
        return [found[i] for i in range(len(frames))]

    def _pose_carried(self, views: Sequence[TurnedFrame], carried: Sequence[Carried]) -> list[Detections]:
        """Return the detections in boxes that are in pixels of the pictures as they arrived."""
        if not views:
            return []
        pictures = [turn_picture(view.frame.rgb, int(view.turns)) for view in views]
        upright = [_turned(each.boxes, view) for each, view in zip(carried, views, strict=True)]
        posed = self.pose.predict(pictures, upright)
        found = []
        for view, each, boxes, (keypoints, scores) in zip(views, carried, upright, posed, strict=True):
            people = _people(view.frame, int(view.turns), boxes, each.scores, keypoints, scores)
            found.append(Detections(people[: len(each.people)], people[len(each.people) :]))
        return found

    def _detect_in_pictures(
        self, frames: Sequence[Frame], turns: Sequence[Sequence[int]]
    ) -> list[Detections]:
        """Return the detections in each frame after the best of the turns that are given for it."""
        pairs = zip(frames, turns, strict=True)
        views = [TurnedFrame(frame, turn) for frame, of_frame in pairs for turn in of_frame]
        tried = zip(views, self._detect_turned(views), strict=True)
        return [most_confident(list(islice(tried, len(of_frame)))) for of_frame in turns]

    def _detect_turned(self, views: Sequence[TurnedFrame]) -> list[Detections]:
        pictures = [turn_picture(view.frame.rgb, int(view.turns)) for view in views]
        detected = [self._limit(*found) for found in self.detector.detect(pictures)]
        posed = self.pose.predict(pictures, [boxes for boxes, _ in detected])
        found = []
        for view, (boxes, box_scores), (keypoints, scores) in zip(views, detected, posed, strict=True):
            people = _people(view.frame, int(view.turns), boxes, box_scores, keypoints, scores)
            count = self._count_people(box_scores)
            found.append(Detections(people[:count], people[count:]))
        return found

    def _count_people(self, scores: FloatArray) -> int:
        """How many of these scores, the highest first, are high enough for a person."""
        return int((scores > self.detector.min_score).sum())

    def _limit(self, boxes: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """All people, and not too many low-confidence boxes."""
        most = self._count_people(scores) + _MAX_LOW_CONFIDENCE
        return boxes[:most], scores[:most]


def _turned(boxes: FloatArray, view: TurnedFrame) -> FloatArray:
    """Boxes (n, 4) of the picture as it arrived -> boxes (n, 4) of the turned picture."""
    corners = turn_points(boxes.reshape(-1, 2, 2), int(view.turns), *view.frame.picture_size)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _turns(in_depth: Detections) -> tuple[int, ...]:
    """Return the turns to try, given what the depth network found."""
    return _ALL_TURNS if in_depth.turns is None or in_depth.turns_uncertain else (in_depth.turns,)


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
