"""Boxes of people in frames of which the detector has seen another one of the same scan.

The detector of an RGB model costs ten times as much as HRNet. The depth network finds the same people in
every frame. So the detector sees some frames only, and what the depth network finds tells where its boxes are
in the others. Whenever the two do not agree about who is there, there are no such boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import RGB_MIN_SCORE, Detections, Person

FloatArray = NDArray[np.float64]
DetectOn = Literal["every", "sparse", "depth"]
DETECT: Final[tuple[DetectOn, ...]] = ("every", "sparse", "depth")
SPARSE: Final = 3  # with "sparse", the detector sees one of so many frames

_SAME: Final = 0.3  # intersection over union of two boxes of one person
_SEEN: Final = 0.3  # lowest score of keypoints that are compared
_COMPARED: Final = 5  # of these, at least
_DISTANCE: Final = 0.2  # torso lengths: the median distance of two networks that see the same person


@dataclass(frozen=True, eq=False)
class Carried:
    """Where the boxes of another frame are in this one.

    Attributes:
        boxes: (n, 4) in pixels of the picture as it arrived, first those of people.
        scores: (n,), as the detector gave them in the other frame.
        people: whom the depth network finds in this frame, in the order of the boxes.
    """

    boxes: FloatArray
    scores: FloatArray
    people: tuple[Person, ...]


def carry_boxes(
    detect: DetectOn, found: Detections, depth_then: Detections, depth_now: Detections
) -> Carried | None:
    """Return the boxes in a frame; None if it is not certain that they are those of the same people.

    Args:
        detect: "depth": boxes of people are those of the depth network; "sparse": those of the detector,
            moved and scaled as the depth network's keypoints are.
        found: what was found in another frame of the scan, with the detector's boxes.
        depth_then, depth_now: what the depth network finds in that frame and in this one.
    """
    if depth_now.turns is None or depth_now.turns_uncertain or depth_now.turns != depth_then.turns:
        return None
    then, now = depth_then.people, depth_now.people
    owners = _pairs(found.people, then)
    moved = _pairs(then, now)
    if not found.people or owners is None or moved is None:
        return None
    boxes, people = [], []
    for person, owner in zip(found.people, owners, strict=True):
        before, after = then[owner], now[moved[owner]]
        box = np.array(after.box) if detect == "depth" else _moved(person.box, before, after)
        if box is None:
            return None
        boxes.append(box)
        people.append(after)
    # What the detector was not sure of stays where it was: the phone hardly moves within a scan.
    others = [np.array(each.box) for each in found.low_confidence]
    scores = [each.box_score for each in (*found.people, *found.low_confidence)]
    return Carried(np.array([*boxes, *others]), np.array(scores), tuple(people))


def is_same_pose(in_picture: Person, in_depth: Person) -> bool:
    """Return whether HRNet is sure of a person, and finds the keypoints where the depth network does."""
    seen = np.minimum(in_picture.scores, in_depth.scores) >= _SEEN
    corners = in_depth.keypoints[list(kp.TORSO)]
    torso = float(np.linalg.norm(corners[:2].mean(axis=0) - corners[2:].mean(axis=0)))
    if in_picture.score < RGB_MIN_SCORE or seen.sum() < _COMPARED or torso < 1:
        return False
    away = np.linalg.norm(in_picture.keypoints[seen] - in_depth.keypoints[seen], axis=1)
    return bool(np.median(away) <= _DISTANCE * torso)


def _pairs(people: Sequence[Person], others: Sequence[Person]) -> list[int] | None:
    """Return the other of each person; None if not each of both has exactly one in the other list."""
    if len(people) != len(others):
        return None
    same = np.array([[_overlap(a.box, b.box) >= _SAME for b in others] for a in people]).reshape(
        len(people), len(others)
    )
    if (same.sum(axis=0) != 1).any() or (same.sum(axis=1) != 1).any():
        return None
    return [int(each) for each in same.argmax(axis=1)] if len(people) else []


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    common = max(sides[0], 0.0) * max(sides[1], 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return common / (areas - common) if areas > common else 0.0


def _moved(box: Sequence[float], before: Person, after: Person) -> FloatArray | None:
    """Return a box after the shift and scaling of a person's keypoints; None if too few are seen."""
    seen = np.minimum(before.scores, after.scores) >= _SEEN
    if seen.sum() < _COMPARED:
        return None
    then, now = before.keypoints[seen], after.keypoints[seen]
    middle, goal = np.median(then, axis=0), np.median(now, axis=0)
    size, new = (float(np.linalg.norm(p - m, axis=1).mean()) for p, m in ((then, middle), (now, goal)))
    scale = new / size if size > 0 else 1.0
    return np.asarray(goal + scale * (np.reshape(box, (2, 2)) - middle)).ravel()
