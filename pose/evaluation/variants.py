"""Change the frames of scans as phones, apps and transfers do: pictures that do not fit their depth maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.scan.exif import UPRIGHT, apply_orientation
from pose.scan.frame import Frame
from pose.scan.orient import choose_orientation

Picture = NDArray[Any]
CROPPED: Final = 0.2  # share that `crop80` cuts off, at the left and at the top


def mirror(picture: Picture) -> Picture:
    """Return a picture or a mask (H, W, ...) with left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def crop80(picture: Picture) -> Picture:
    """Return a picture or a mask (H, W, ...) zoomed by 1.25 into the lower right corner, at the same size."""
    height, width = picture.shape[:2]
    part = picture[round(CROPPED * height) :, round(CROPPED * width) :]
    if part.dtype == np.bool_:
        zoomed = cv2.resize(part.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(zoomed > 0)
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class Variant:
    """A change of a frame.

    Attributes:
        change: of the stored picture, and of masks of it.
        exif_orientation: that the stored picture has.
    """

    change: Callable[[Picture], Picture] = np.ascontiguousarray
    exif_orientation: int = UPRIGHT

    def frame(self, frame: Frame) -> Frame:
        """Return the frame as the reader would read it after the change."""
        stored = replace(frame, rgb=self.change(frame.rgb))
        return choose_orientation(stored, self.exif_orientation)

    def mask(self, mask: NDArray[np.bool_], exif_orientation: int) -> NDArray[np.bool_]:
        """Return a mask (H, W) of the frame's picture as one of the changed picture.

        Args:
            mask: of the picture before the change.
            exif_orientation: what the reader applied (`Frame.exif_orientation`).
        """
        return apply_orientation(self.change(mask), exif_orientation)


UNVARIED: Final = Variant()
VARIANTS: Final = {
    "mirror": Variant(mirror),
    "mirror:exif": Variant(mirror, exif_orientation=2),  # EXIF says that it is mirrored
    "exif:hint": Variant(exif_orientation=3),  # EXIF says that it is turned, but the pixels are not
    "crop80": Variant(crop80),
}
