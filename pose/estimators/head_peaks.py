"""Decide which peaks of the head's heatmap are redacted although nobody was found there.

A low peak may be the head of somebody whom the network hardly sees: cut by the border, or behind something.
Most low peaks are other things. What counts was measured on rendered frames with adults beside the child: of
4 300 peaks between 0.04 and 0.3, in 1 600 frames, 7 showed a face that nothing else covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person

FloatArray = NDArray[np.float64]

# A head that the border cuts has a lower peak than a whole one: 6 of the 7 faces are near the border, with
# peaks from 0.079 on. The other one has 0.088.
_MIN_SCORE: Final = 0.11
_MIN_AT_BORDER: Final = 0.075
_BORDER: Final = 0.06  # of the picture's shorter side

# A low peak on an arm, a leg or the trunk of somebody is taken for that: a third of the redacted area that
# showed no head, and none of the 7 faces.
_LOW: Final = 0.15
_MIN_LIMB: Final = 0.4  # score of both ends of a limb
_LIMB_WIDTH: Final = 0.25  # trunk lengths from the line between the two ends
_LIMBS: Final = [
    (a, b) for a, b in kp.LIMBS if a not in kp.HEAD and b not in kp.HEAD
]  # an ear and a shoulder have the neck between them


def may_be_head(
    at: FloatArray, score: float, people: Sequence[Person], picture_size: tuple[int, int]
) -> bool:
    """Return whether a peak of the head's heatmap must be redacted.

    Args:
        at: (2,) u, v in pixels of the picture.
        score: the peak's value, 0..1.
        people: who was found in the frame.
        picture_size: width, height.
    """
    if score < (_MIN_AT_BORDER if _is_near_border(at, picture_size) else _MIN_SCORE):
        return False
    return score >= _LOW or not any(_is_on_limb(at, person) for person in people)


def _is_near_border(at: FloatArray, picture_size: tuple[int, int]) -> bool:
    """Return whether a point is near the picture's border, or beyond it."""
    size = np.array(picture_size)
    return bool(np.minimum(at, size - 1 - at).min() < _BORDER * size.min())


def _is_on_limb(at: FloatArray, person: Person) -> bool:
    """Return whether a point lies on an arm, a leg or the trunk of a person."""
    start, end = (person.keypoints[list(ends)] for ends in zip(*_LIMBS, strict=True))  # (12, 2)
    scores = person.scores[np.array(_LIMBS)].min(axis=1)
    along = end - start
    share = ((at - start) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-9)
    nearest = start + np.clip(share, 0, 1)[:, None] * along
    distance = np.linalg.norm(at - nearest, axis=1)
    corners = person.keypoints[list(kp.TORSO)]
    trunk = float(np.linalg.norm(corners[:2].mean(axis=0) - corners[2:].mean(axis=0)))
    return bool(((distance < _LIMB_WIDTH * trunk) & (scores >= _MIN_LIMB)).any())
