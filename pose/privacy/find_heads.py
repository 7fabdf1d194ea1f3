"""Heads of those of whom it is not sure that they are anybody: they count as nobody, and are covered.

An estimator that is not sure of a person still tells where the head would be. It may be the head of someone
who was found anyway, found once more: then its size is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.view import View
from pose.privacy.place_head import place_head
from pose.privacy.region import HeadNotPlaced, HeadRegion, Heads, PlacedBy, disc, hull

_HEAD: Final = list(kp.HEAD)


def find_all_heads(
    people: Sequence[Person],
    low_confidence: Sequence[Person],
    view: View,
) -> Heads:
    """All heads of a frame, those of people first.

    Args:
        people: with keypoints in pixels of the picture. One whose head cannot be placed makes it not certain
            that all are known.
        low_confidence: detections that count as nobody; none of them makes anything uncertain.
        view: the frame's picture, by its camera, and its depth map.
    """
    placed: list[HeadRegion] = []
    reason = None if people else "nobody was found, so it is not certain that no face is seen"
    for person in people:
        try:
            placed.append(place_head(person, view))
        except HeadNotPlaced as error:
            reason = reason or f"a head could not be placed: {error}"
    doubtful = [_place_uncertain(detection, placed, view) for detection in low_confidence]
    return Heads((*placed, *doubtful), reason)


def _place_uncertain(detection: Person, placed: Sequence[HeadRegion], view: View) -> HeadRegion:
    middle = _middle(detection)
    if middle is not None:
        for region in placed:
            if _is_in(middle, region):
                outline = hull(disc(np.array(middle), region.radius_px), view.picture_size)
                return HeadRegion(middle, region.radius_px, outline, PlacedBy.LOW_CONFIDENCE)
    try:
        return replace(place_head(detection, view, sure=False), placed_by=PlacedBy.LOW_CONFIDENCE)
    except HeadNotPlaced:
        x0, y0, x1, y1 = detection.box
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        place = (x0 + x1) / 2, (y0 + y1) / 2
        return HeadRegion(place, (x1 - x0) / 2, hull(corners, view.picture_size), PlacedBy.LOW_CONFIDENCE)


def _middle(person: Person) -> tuple[float, float] | None:
    weight = person.scores[_HEAD]
    if weight.sum() <= 0:
        return None
    u, v = (person.keypoints[_HEAD] * weight[:, None]).sum(axis=0) / weight.sum()
    return float(u), float(v)


def _is_in(point: tuple[float, float], region: HeadRegion) -> bool:
    outline: NDArray[np.int32] = region.outline
    return len(outline) > 2 and cv2.pointPolygonTest(outline, point, False) >= 0
