"""The RGB estimators: persons found in the picture, then HRNet on each, as published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pose.detectors import DETECTORS
from pose.estimators.base import Detections, Estimator, Person
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.detector import MIN_SCORE, Detector
from pose.estimators.topdown import BATCH, TopDown, input_size_of
from pose.geometry.orientation import is_known, turn_picture, turns_for_step, unturn_points
from pose.scan.frame import Frame
from pose.weights.checkpoint import Checkpoint
from pose.weights.ingest import read_weights_file

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

FloatArray = NDArray[np.float64]

_ALL_TURNS: Final = (0, 1, 2, 3)
_DETECTOR_BATCH: Final = 4  # whole pictures, at most
_LOW_CONFIDENCE_SCORE: Final = 0.3  # detections above it are covered, though they count as nobody
_MAX_LOW_CONFIDENCE: Final = 4  # of a picture: each costs as much as a person


class PersonFinder(Protocol):
    """What finds the people: `detection.Detector`, or something else in a test."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def min_score(self) -> float: ...

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[FloatArray, FloatArray]]:
        """Boxes (n, 4) and scores (n,) of each picture, the surest first."""
        ...


class RGBHRNet(Estimator):
    """Finds people in pictures. Depth maps add low-confidence detections only.

    A picture is turned upright first, as its step says. Where the step is unknown all four turns are tried,
    and the one counts whose best person has the highest score. Nobody found is nobody: the whole
    picture is never taken for a person.

    Args:
        detector: finds the people.
        pose: finds their keypoints.
        name: of the variant, such as "hrnet-w48-384x288".
        weights_version: of the weights of `pose`.
        depth: finds heads in the depth maps, which are covered as well.

    Attributes:
        detector, pose, name: as given.
        version: all else that decides the result: both networks' weights, the detector's limit if it is not
            the usual one, and the flip test.
    """

    def __init__(
        self,
        detector: PersonFinder,
        pose: TopDown,
        name: str,
        weights_version: str,
        depth: Estimator | None = None,
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
        """Return people; low-confidence are the detector's other boxes and what the depth network finds."""
        return [
            Detections(found.people, [*found.low_confidence, *in_depth])
            for found, in_depth in zip(
                self._detect_in_pictures(frames), self._detect_in_depth(frames), strict=True
            )
        ]

    def _detect_in_depth(self, frames: Sequence[Frame]) -> list[list[Person]]:
        """All detections of the depth network. It cannot use a frame of an unknown step: none there."""
        if self.depth is None:
            return [[] for _ in frames]
        usable = [frame for frame in frames if is_known(frame.step)]
        detected = iter(self.depth.detect(usable))
        found = [next(detected) if is_known(frame.step) else Detections([]) for frame in frames]
        return [[*each.people, *each.low_confidence] for each in found]

    def _detect_in_pictures(self, frames: Sequence[Frame]) -> list[Detections]:
        views = [(frame, turns) for frame in frames for turns in _turns(frame.step)]
        pictures = [turn_picture(frame.rgb, turns) for frame, turns in views]
        detected = [self._worth_posing(*found) for found in self.detector.detect(pictures)]
        posed = self.pose.predict(pictures, [boxes for boxes, _ in detected])
        seen = [
            _people(frame, turns, boxes, box_scores, keypoints, scores)
            for (frame, turns), (boxes, box_scores), (keypoints, scores) in zip(
                views, detected, posed, strict=True
            )
        ]
        of_views = [
            Detections(people[:count], people[count:])
            for people, (_, scores) in zip(seen, detected, strict=True)
            for count in (self._count_people(scores),)
        ]
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

    def _worth_posing(self, boxes: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        most = self._count_people(scores) + _MAX_LOW_CONFIDENCE
        return boxes[:most], scores[:most]


def load_rgb(
    name: str | None,
    device: str,
    *,
    store: WeightsStore,
    weights: Path | None,
    detector: str,
    detector_weights: Path | None,
    flip_test: bool,
    batch_size: int | None,
) -> RGBHRNet:
    """An RGB estimator with its weights; see `estimator.load_estimator`, which checks the names.

    Args:
        name: of the variant; None takes what the file `weights` is.
        device: torch's name of it.

    Raises:
        ValueError: there is no such detector, or the batch size is not positive.
        InvalidWeights: weights are missing, damaged, or of another network.
    """
    if detector not in DETECTORS:
        raise ValueError(f"unknown detector {detector!r}, expected one of {', '.join(DETECTORS)}")
    hrnet = _read(name, weights, store)
    finder = _read(detector, detector_weights, store)
    batch = BATCH if batch_size is None else batch_size
    pose = TopDown(
        hrnet, input_size=input_size_of(hrnet), device=device, flip_test=flip_test, batch_size=batch
    )
    found_by = Detector(finder, detector, device, min(_DETECTOR_BATCH, batch), least=_LOW_CONFIDENCE_SCORE)
    heads = DepthHRNet(device=device, batch_size=batch)
    return RGBHRNet(found_by, pose, hrnet.facts["name"], hrnet.facts["version"], heads)


def _read(name: str | None, file: Path | None, store: WeightsStore) -> Checkpoint:
    if file is not None:
        return read_weights_file(file, name)
    if name is None:
        raise ValueError("neither a model nor a file of weights is named")
    return store.load(name)


def _turns(step: int) -> tuple[int, ...]:
    return (turns_for_step(step),) if is_known(step) else _ALL_TURNS


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
    """What was found in a turned picture → people in the picture as it arrived.

    Args:
        boxes, box_scores: (n, 4) and (n,).
        keypoints, scores: (n, 17, 2) and (n, 17).
    """
    width, height = frame.picture_size
    points = unturn_points(keypoints, turns, width, height)
    corners = unturn_points(boxes.reshape(-1, 2, 2), turns, width, height)  # two opposite ones of each
    corners = np.clip(corners, 0, (width - 1, height - 1))
    low, high = corners.min(axis=1).tolist(), corners.max(axis=1).tolist()
    # A heatmap's maximum is no probability: it may lie a little outside 0..1.
    return [
        Person(points[i], np.clip(scores[i], 0, 1), (*low[i], *high[i]), float(np.clip(box_scores[i], 0, 1)))
        for i in range(len(boxes))
    ]
