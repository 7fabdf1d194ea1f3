"""Decide whether the picture and the depth map of a frame show the same view: by edges, and by people.

The edges are compared in `pose.geometry.alignment`. An estimator that finds people in the picture also says
whom the depth network found: if each found one person, and these are far apart, the two cannot be trusted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pose import keypoints as kp
from pose.analysis.drift import compare
from pose.estimators.base import Detections, Person
from pose.scan.frame import Frame

# Torso lengths. Of 260 frames of careful rendered scans, the depth network is at most 0.15 off the truth, and
# 0.12 in 99 %. How far an RGB model is off on real scans is not known: so the limit is twice that.
PEOPLE_LIMIT: Final = 0.3
_MIN_KEYPOINTS: Final = 8  # that both must show
_MIRRORED: Final = list(kp.MIRRORED)


def people_distance(found: Detections) -> float | None:
    """Return how far apart the only person in the picture and the only one in the depth map are.

    It is the median over the keypoints, in torso lengths, as in `analysis.drift`. Left and right may be mixed
    up: seen from behind, both models sometimes do so.

    Returns:
        None if nobody or several people were found in one of the two, or too little of them.
    """
    if len(found.people) != 1 or len(found.in_depth) != 1:
        return None
    (ours,), (other,) = found.people, found.in_depth
    compared = [compare([[ours]], [[each]]) for each in (other, _left_for_right(other))]
    distances = [
        drift.distance
        for drift in compared
        if drift.distance is not None and drift.keypoints >= _MIN_KEYPOINTS
    ]
    return min(distances, default=None)


def is_misaligned(frame: Frame, found: Detections) -> bool:
    """Return whether picture and depth map of a frame show different views.

    Args:
        frame: as it was read.
        found: by an estimator, in the frame.
    """
    distance = people_distance(found)
    return frame.misaligned or (distance is not None and distance > PEOPLE_LIMIT)


def _left_for_right(person: Person) -> Person:
    return replace(person, keypoints=person.keypoints[_MIRRORED], scores=person.scores[_MIRRORED])
