"""Draw skeletons on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.orientation import turn_points

# RGB of the person's own left and right, and of limbs between them.
LEFT: Final = (64, 160, 255)
RIGHT: Final = (255, 128, 48)
MIDDLE: Final = (96, 224, 96)
_RIM: Final = (24, 24, 24)
_MIN_SCORE: Final = 0.1  # do not draw keypoints below


def overlay(redacted: NDArray[np.uint8], people: Sequence[Person], turns: int) -> NDArray[np.uint8]:
    """Return a picture, turned upright, with the skeletons of all people drawn on it.

    Args:
        redacted: (H, W, 3) uint8 RGB, a picture without faces.
        people: with keypoints in pixels of that picture.
        turns: quarter turns clockwise that bring it upright.

    Returns:
        (H, W, 3) or (W, H, 3) uint8 RGB, a new array.
    """
    height, width = redacted.shape[:2]
    canvas = _turned(redacted, turns)
    thickness = max(1, round(min(height, width) / 240))
    # Draw on a grid finer than pixels by 2 ** shift. Clip points far outside: OpenCV overflows.
    shift, far = 3, 4 * max(height, width)
    for person in people:
        points = turn_points(person.keypoints, turns, width, height)
        at = np.rint(np.clip(points, -far, far) * 2**shift).astype(int)
        seen = person.scores >= _MIN_SCORE
        for rim in (True, False):  # a dark line below each, visible on any background
            for a, b in kp.LIMBS:
                if seen[a] and seen[b]:
                    colour, thick = (_RIM, thickness + 2) if rim else (_colour(a, b), thickness)
                    cv2.line(canvas, at[a].tolist(), at[b].tolist(), colour, thick, cv2.LINE_AA, shift)
            for joint in np.flatnonzero(seen).tolist():
                colour, radius = (_RIM, 2 * thickness + 1) if rim else (_colour(joint, joint), 2 * thickness)
                cv2.circle(canvas, at[joint].tolist(), radius << shift, colour, -1, cv2.LINE_AA, shift)
    return canvas


def _turned(picture: NDArray[np.uint8], turns: int) -> NDArray[np.uint8]:
    """Return a turned copy: as `orientation.turn_picture`, but three times as fast as a copy of its view."""
    if turns % 4 == 0:
        return picture.copy()
    code = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)[turns % 4 - 1]
    return np.asarray(cv2.rotate(picture, code), np.uint8)


def _colour(a: int, b: int) -> tuple[int, int, int]:
    sides = {kp.NAMES[joint].partition("_")[0] for joint in (a, b)}
    if sides == {"left"}:
        return LEFT
    return RIGHT if sides == {"right"} else MIDDLE
