"""Return pictures without faces, or no picture.

A picture is withheld, with a reason, unless it is certain that every head is redacted. This is a normal
outcome; the 3D figures of a frame do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.checks import check_choice, check_each, check_picture, check_type
from pose.estimators.base import Person
from pose.geometry.alignment import measure_alignment
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.privacy.face_detector import FaceDetector, find_uncovered, head_of_face
from pose.privacy.find_heads import find_all_heads
from pose.privacy.loading import load_face_detector
from pose.privacy.redact import METHODS, Method, redact
from pose.privacy.region import HeadRegion, Heads, region_mask
from pose.scan.pictures import encode_jpeg

MISALIGNED: Final = "it does not show the same view as the depth map"

# Somebody who leans over the phone fills much of the picture, and a network does not know so near a head. No
# guideline wants anything scanned as near as this.
_TOO_NEAR: Final = 0.25  # metres
_MAX_NEAR: Final = 0.05  # share of the depth map; a third of a face at this distance


@dataclass(frozen=True, eq=False)
class Anonymised:
    """A picture without faces, or the reason why it is withheld.

    Attributes:
        picture: (H, W, 3) uint8 RGB, of the size and orientation of the one given; None if withheld.
        reason: why it was withheld, for a person to read; None otherwise.
        regions: the redacted heads, those of people first. Some may lie wholly outside the picture.
        mask: (H, W) bool, the redacted pixels; None if withheld.
        second_look: how many of the regions only the face detector found.
        file: the picture as a JPEG file without any metadata; None if withheld.
    """

    picture: NDArray[np.uint8] | None
    reason: str | None
    regions: tuple[HeadRegion, ...] = ()
    mask: NDArray[np.bool_] | None = None
    second_look: int = 0
    file: bytes | None = None

    def jpeg(self) -> bytes | None:
        """Return the picture as a JPEG file without any metadata; None if withheld."""
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
    face_detector: FaceDetector | None = None,
) -> Anonymised:
    """Redact the heads of all people in a picture.

    This can still miss a person whom neither the estimator nor the face detector found.

    Args:
        rgb: (H, W, 3) uint8 RGB; it is not changed.
        people: everybody who was found in the picture, with keypoints in its pixels.
        depthmap: of the same view.
        method: see `redact`.
        color: the colour camera (`Frame.color`). Without it both cameras share one view.
        bystanders: low-confidence detections (`pose.Detections.low_confidence`).
        turns: quarter turns clockwise that bring the picture upright. If None, the face detector tries all
            four, which takes four times as long.
        face_detector: None loads the one that `load_face_detector` takes by default. Load it yourself for
            many pictures.

    Returns:
        The redacted picture. The picture is withheld if nobody was found (somebody may have been missed),
        if it is not certain where a head is, if something is too near to the camera, or if it does not show
        the same view as the depth map.

    Raises:
        FaceDetectorMissing, InvalidWeights: see `load_face_detector`.
        ValueError: the picture is not (H, W, 3) uint8, an argument is of another type, `color` is the camera
            of a picture of another size, or there is no such method.
    """
    height, width = check_picture(rgb).shape[:2]
    check_each(people, Person, "people")
    check_each(bystanders, Person, "bystanders")
    check_type(depthmap, DepthMap, "depthmap")
    check_choice(method, METHODS, "method")
    view = View.of(depthmap, (width, height), color)
    if view.fits and measure_alignment(rgb, view).misaligned:
        return Anonymised(None, MISALIGNED)
    detector = load_face_detector() if face_detector is None else face_detector
    return redact_heads(rgb, find_all_heads(people, bystanders, view), view, detector, method, turns)


def redact_heads(
    rgb: NDArray[np.uint8],
    heads: Heads,
    view: View,
    face_detector: FaceDetector,
    method: Method = "blur",
    turns: int | None = None,
) -> Anonymised:
    """Redact known heads, and what the face detector finds besides.

    Args:
        rgb, face_detector, method, turns: see `anonymise`.
        heads: all heads of the frame. Its picture and depth map must be aligned (`Frame.misaligned`).
        view: the picture, by its camera, and its depth map, which tells how large a detected face is.
    """
    if heads.reason is not None:
        return Anonymised(None, heads.reason)
    if not view.fits:  # the depth map shows the heads in another place than the picture
        return Anonymised(None, "it or the depth map does not fit the calibration: turned or cropped")
    if _is_blocked(view.depthmap):
        return Anonymised(None, f"something is nearer than {_TOO_NEAR} m and may be a face")
    mask = region_mask(heads.regions, view.picture_size)
    faces = find_uncovered(face_detector, rgb, view, mask, turns)
    more = [head_of_face(face, view, face_detector.head_radius) for face in faces]
    if more:
        mask |= region_mask(more, view.picture_size)
    picture = redact(rgb, mask, method)
    return Anonymised(picture, None, (*heads.regions, *more), mask, len(more), encode_jpeg(picture))


def _is_blocked(depthmap: DepthMap) -> bool:
    """Return whether something too near for any network fills a part of the view."""
    near = (depthmap.depth > 0) & (depthmap.depth < _TOO_NEAR)
    return float(near.mean()) > _MAX_NEAR
