"""Find all heads of a frame: those of people and those of low-confidence detections.

A low-confidence detection does not count as a person, but its head is redacted. If it is a second detection
of a head that is placed already, the size of that head is used. Somebody of whom a network hardly sees
anything, such as the legs of a helper at the border, counts as little if the head cannot be placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.view import View
from pose.privacy.place_head import place_head
from pose.privacy.region import HeadNotPlaced, HeadRegion, Heads, PlacedBy, disc, hull

_HEAD: Final = list(kp.HEAD)
# Of somebody below the first mean keypoint score, beside a person above the second, hardly anything is seen.
# In rendered scans no head of theirs was in the picture outside what is redacted (17 frames of 1 600), while
# the head of an only person who could not be placed was often there.
_HARDLY_SEEN: Final = 0.25
_SEEN: Final = 0.4


def find_all_heads(people: Sequence[Person], low_confidence: Sequence[Person], view: View) -> Heads:
    """Return all heads of a frame, those of people first.

    `Heads.reason` is set if `people` is empty or the head of one of them, of whom more than a little is seen,
    cannot be placed.

    Args:
        people: detections that count as people, with keypoints in pixels of the picture.
        low_confidence: detections that do not count as people. They never set the reason.
        view: the frame's picture, by its camera, and its depth map.
    """
    placed: list[HeadRegion] = []
    hardly_seen: list[Person] = []
    somebody_is_seen = any(person.score >= _SEEN for person in people)
    reason = None if people else "nobody was found, so it is not certain that no face is seen"
    for person in people:
        try:
            placed.append(place_head(person, view))
        except HeadNotPlaced as error:
            if somebody_is_seen and person.score < _HARDLY_SEEN:
                hardly_seen.append(person)
            else:
                reason = reason or f"a head could not be placed: {error}"
    uncertain = [_place_low_confidence(detection, placed, view) for detection in low_confidence]
    for person in hardly_seen:
        with suppress(HeadNotPlaced):
            region = place_head(_head_alone(person), view, low_confidence=True)
            uncertain.append(replace(region, placed_by=PlacedBy.LOW_CONFIDENCE))
    return Heads((*placed, *uncertain), reason)


def _place_low_confidence(detection: Person, placed: Sequence[HeadRegion], view: View) -> HeadRegion:
    """Return the region of a low-confidence head: its whole box if the head cannot be placed."""
    if detection.scores[_HEAD].sum() > 0:
        middle = _head_middle(detection)
        for region in placed:
            if _contains(region, middle):
                outline = hull(disc(np.array(middle), region.radius_px), view.picture_size)
                return HeadRegion(middle, region.radius_px, outline, PlacedBy.LOW_CONFIDENCE)
    try:
        region = place_head(detection, view, low_confidence=True)
        return replace(region, placed_by=PlacedBy.LOW_CONFIDENCE)
    except HeadNotPlaced:
        x0, y0, x1, y1 = detection.box
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        centre = (x0 + x1) / 2, (y0 + y1) / 2
        return HeadRegion(centre, (x1 - x0) / 2, hull(corners, view.picture_size), PlacedBy.LOW_CONFIDENCE)


def _head_alone(person: Person) -> Person:
    """Return a person without the scores of the body, which say that the head is somewhere else."""
    scores = np.zeros_like(person.scores)
    scores[_HEAD] = person.scores[_HEAD]
    return replace(person, scores=scores)


def _head_middle(detection: Person) -> tuple[float, float]:
    """Return u, v of the head's keypoints, weighted by their scores."""
    weight = detection.scores[_HEAD]
    u, v = (detection.keypoints[_HEAD] * weight[:, None]).sum(axis=0) / weight.sum()
    return float(u), float(v)


def _contains(region: HeadRegion, point: tuple[float, float]) -> bool:
    return len(region.outline) > 2 and cv2.pointPolygonTest(region.outline, point, False) >= 0
