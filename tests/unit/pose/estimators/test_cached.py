"""An estimator that keeps its detections."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from pose import DepthMap, Detections, Frame, Intrinsics, Person
from pose.estimators.cached import CachedEstimator
from tests.support.estimators import FindsNobody
from tests.support.rendered import person


class Counts(FindsNobody):
    """Finds the frame's own number; keeps the numbers that it was asked for."""

    min_score = 0.4

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []

    def detect(self, frames: Any) -> Any:
        self.asked.append([frame.order for frame in frames])
        return [Detections([person(np.full((17, 2), float(frame.order)))]) for frame in frames]


def frame(order: int) -> Frame:
    depth = np.ones((3, 4), np.float32)
    return Frame(
        order, 100, np.zeros((3, 4, 3), np.uint8), DepthMap(depth, None, Intrinsics(4, 4, 2, 1, 4, 3))
    )


def numbers(found: list[list[Person]]) -> list[list[float]]:
    return [[someone.box[0] for someone in people] for people in found]


def test_each_frame_is_detected_once_and_its_place_in_the_answer_is_kept():
    counts, frames = Counts(), [frame(order) for order in range(4)]
    cached = CachedEstimator(counts)
    assert numbers(cached.estimate(frames[1:3])) == [[1], [2]]
    assert numbers(cached.estimate(frames)) == [[0], [1], [2], [3]]
    assert numbers(cached.estimate(frames)) == [[0], [1], [2], [3]]
    assert counts.asked == [[1, 2], [0, 3]]


def test_another_frame_of_the_same_number_is_another_frame():
    counts = Counts()
    cached = CachedEstimator(counts)
    cached.detect([frame(1)])
    cached.detect([frame(1)])
    assert counts.asked == [[1], [1]]


def test_detections_are_dropped_with_their_frame():
    cached = CachedEstimator(Counts())
    cached.detect([frame(1)])
    gc.collect()
    assert len(cached._detections) == 0


def test_it_has_the_name_version_and_score_limit_of_the_other_estimator():
    cached = CachedEstimator(Counts())
    assert (cached.name, cached.version, cached.min_score) == ("finds-nobody", "1", 0.4)
