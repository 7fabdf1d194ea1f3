"""The base class of all estimators, and what they return: people found in frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.checks import check_each, check_numbers, check_shape
from pose.scan.frame import Frame

# The lowest mean keypoint score that counts, for HRNet with COCO weights.
RGB_MIN_SCORE: Final = 0.83


@dataclass(frozen=True)
class Person:
    """A person found in a frame, in pixels of the original picture (sensor orientation, full size).

    Attributes:
        keypoints: (17, 2) float64, u (column) and v (row) of each COCO keypoint.
        scores: (17,) float64 in 0..1.
        box: x0, y0, x1, y1.
        box_score: confidence that a person is there, 0..1.

    Raises:
        ValueError: keypoints or scores are not arrays of these shapes or not finite, or the box is not four
            numbers.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    box: tuple[float, float, float, float]
    box_score: float

    def __post_init__(self) -> None:
        check_numbers(check_shape(self.keypoints, (kp.COUNT, 2), "keypoints"), (kp.COUNT, 2), "keypoints")
        check_numbers(check_shape(self.scores, (kp.COUNT,), "scores"), (kp.COUNT,), "scores")
        check_numbers(self.box, (4,), "box")

    @property
    def score(self) -> float:
        """Mean keypoint score."""
        return float(self.scores.mean())


@dataclass(frozen=True)
class Detections:
    """What an estimator finds in one frame.

    Attributes:
        people: detections that count as people, in order of confidence, the highest first.
        low_confidence: detections that do not count as people, but whose heads are covered: people who
            were missed otherwise, things taken for people, and second detections of the heads of `people`.
            Often only the keypoints of the head have a score.
        turns: quarter turns clockwise, 0 to 3, that bring the picture upright; None if the estimator does
            not tell.
        turns_uncertain: whether several turns were compared and none was clearly the best. Then the picture
            is withheld, and the frame does not count.

    Raises:
        ValueError: something in the lists is no Person.
        in_depth: the people in the depth map, if those of `people` are from the picture.
    """

    people: list[Person]
    low_confidence: list[Person] = field(default_factory=list)
    turns: int | None = None
    turns_uncertain: bool = False
    in_depth: list[Person] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The highest mean keypoint score of the people; 0 if nobody was found."""
        return max((person.score for person in self.people), default=0.0)

    def __post_init__(self) -> None:
        check_each(self.people, Person, "people")
        check_each(self.low_confidence, Person, "low_confidence")


class Estimator(ABC):
    """Finds people in frames. A subclass sets `name` and `version` and defines `detect`.

    Call an estimator from one thread at a time. Results do not depend on earlier calls.

    Attributes:
        name: of the model; part of every result.
        version: of its weights and of the options that change its results; part of every result.
        min_score: a frame counts for the scan if its person's mean keypoint score is at least this. It
            depends on the model: scores of different models have different ranges.
        uses_depth: whether the keypoints of people are from the depth map. If not, they are from the picture,
            and mean nothing in 3D where picture and depth map are misaligned.
        runtime: what runs the network, such as "torch 2.15.0"; None if it is not told. Results of different
            runtimes differ by rounding only.

    >>> class FindsNobody(Estimator):
    ...     name, version = "finds-nobody", "1"
    ...
    ...     def detect(self, frames):
    ...         return [Detections(people=[]) for frame in frames]
    >>> FindsNobody().estimate([])
    []
    """

    name: str
    version: str
    min_score: float = RGB_MIN_SCORE
    uses_depth: bool = False
    runtime: str | None = None

    @abstractmethod
    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the detections in each frame, in the order of the frames."""

    def estimate(self, frames: Sequence[Frame]) -> list[list[Person]]:
        """Return the people in each frame, the most confident first; an empty list where nobody is found.

        Raises: as `detect`.
        """
        return [found.people for found in self.detect(frames)]
