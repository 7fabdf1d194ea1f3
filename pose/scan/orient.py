"""Decide whether a picture's EXIF orientation is to be applied.

Depth map and calibration are in sensor orientation. If the pixels of a picture are too, its EXIF orientation
is only a hint for viewers. If they are turned or mirrored, applying the orientation undoes it. The shape that
the calibration gives decides, and where both shapes fit, the agreement with the depth map.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pose.scan.exif import UPRIGHT, apply_orientation
from pose.scan.frame import Frame

# Standard deviations between the scores of the two. On rendered scans 99.9 % of the right ones are better by
# more, and no wrong one is (`make alignment`).
MIN_DIFFERENCE: Final = 3.0


def choose_orientation(stored: Frame, orientation: int) -> Frame:
    """Return the frame whose picture agrees with its depth map: as it is stored, or as EXIF says.

    If neither fits the calibration, or if it is not certain which agrees with the depth map, the frame is as
    it is stored, without a known orientation in the second case.

    Args:
        stored: with the picture as it is stored.
        orientation: the picture's EXIF orientation, 1 to 8.
    """
    if orientation == UPRIGHT:
        return stored
    turned = replace(stored, rgb=apply_orientation(stored.rgb, orientation), exif_orientation=orientation)
    alignments = stored.alignment, turned.alignment
    if alignments[0] is None or alignments[1] is None:  # at most one of them fits the calibration
        return stored if alignments[1] is None else turned
    better = alignments[1].score - alignments[0].score
    if abs(better) < MIN_DIFFERENCE:
        return replace(stored, orientation_known=False)
    return turned if better > 0 else stored
