"""Pictures without faces, or none at all.

Where it is not certain that every head is covered, no picture leaves. That is a normal outcome, with a
reason; the numbers of a frame do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.estimators.base import Person
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.privacy import face_detector
from pose.privacy.find_heads import find_all_heads
from pose.privacy.redact import Method, cover
from pose.privacy.region import HeadRegion, Heads, region_mask
from pose.scan.pictures import decode_picture, encode_jpeg

_LOOKS: Final = 5  # for faces, at most: one at the picture, the others at what would be published


@dataclass(frozen=True, eq=False)
class Anonymised:
    """A picture without faces, or the reason why there is none.

    Attributes:
        picture: (H, W, 3) uint8 RGB, of the size and orientation of the one given; None if withheld.
        reason: why it was withheld, for a person to read; None otherwise.
        regions: the heads that were covered, one a person, then those that no person told of. Some may lie
            wholly outside the picture.
        mask: (H, W) bool, the covered pixels; None if withheld.
        second_look: how many of the regions are faces that only the second look at the picture found.
        file: the picture as a JPEG file without any metadata, in which the second look finds no face outside
            of what is covered; None if withheld.
    """

    picture: NDArray[np.uint8] | None
    reason: str | None
    regions: tuple[HeadRegion, ...] = ()
    mask: NDArray[np.bool_] | None = None
    second_look: int = 0
    file: bytes | None = None

    def jpeg(self) -> bytes | None:
        """The picture as a JPEG file without any metadata; None if withheld."""
        return self.file


def anonymise(
    rgb: NDArray[np.uint8],
    people: Sequence[Person],
    depthmap: DepthMap,
    method: Method = "blur",
    color: Intrinsics | None = None,
    *,
    bystanders: Sequence[Person] = (),
    turns: int | None = None,
) -> Anonymised:
    """Cover the heads of all people.

    This can still miss a person whom neither the estimator nor the second look found.

    Args:
        rgb: (H, W, 3) uint8 RGB; it is not changed.
        people: all that were found in it, with keypoints in its pixels. Also those who do not matter.
        depthmap: of the same view.
        method: see `cover.cover`.
        color: the colour camera (`Frame.color`). Not needed where both cameras share one view.
        bystanders: those who may be somebody (`pose.Detections.low_confidence`).
        turns: quarter turns clockwise that bring the picture upright. Where that is not known all four are
            looked at for faces, in four times the time.

    Returns:
        A picture; or none where nobody was found (then somebody may have been overlooked), or where a
        head could not be placed with certainty.

    Raises:
        FaceDetectorMissing: this OpenCV has no cascades.
    """
    height, width = rgb.shape[:2]
    view = View.of(depthmap, (width, height), color)
    return redact_heads(rgb, find_all_heads(people, bystanders, view), method, turns, view)


def redact_heads(
    rgb: NDArray[np.uint8],
    heads: Heads,
    method: Method = "blur",
    turns: int | None = None,
    view: View | None = None,
) -> Anonymised:
    """Cover heads that were looked for already; see `anonymise`.

    Args:
        view: the picture and its depth map, which tells how large a thing is that looks like a face; where
            one of them does not fit its camera, nothing is published.
    """
    if heads.reason is not None:
        return Anonymised(None, heads.reason)
    if view is not None and not view.fits:  # what the depth map shows is elsewhere in the picture
        return Anonymised(None, "it or the depth map does not fit the calibration: turned or cropped")
    size = rgb.shape[1], rgb.shape[0]
    regions, mask = list(heads.regions), region_mask(heads.regions, size)
    shown, picture, file = rgb, rgb, b""
    # First the picture itself, then what would be published, as whoever gets it sees it.
    for _ in range(_LOOKS):
        faces = face_detector.uncovered(face_detector.find_faces(shown, turns), mask)
        more = [face_detector.head_of(face, size, view) for face in faces]
        if file and not more:
            return Anonymised(picture, None, tuple(regions), mask, len(regions) - len(heads.regions), file)
        regions += more
        mask |= region_mask(more, size)
        picture = cover(rgb, mask, method)
        file = encode_jpeg(picture)
        shown = decode_picture(file)
    return Anonymised(None, "what looks like a face is still seen after it was covered")
