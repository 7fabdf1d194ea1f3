"""A scan and its frames, as read from files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose.checks import check_each, check_picture, check_type, check_whole
from pose.geometry.alignment import Alignment, measure_alignment
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.orientation import posture_for_step
from pose.geometry.view import View
from pose.scan.calibration import Calibration


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and the depth map taken with it, both in sensor orientation.

    Attributes:
        order: the frame's number in its scan.
        step: what was scanned, see `geometry.orientation`; it need not be a known step.
        rgb: (H, W, 3) uint8 RGB. Its size and aspect ratio can differ from those of the depth map.
        depthmap: the depth, with its camera and pose.
        calibration: of both cameras; None means that they have one view.
        exif_orientation: what was applied to the stored picture to get `rgb`, 1 to 8. It is 1 if the picture
            is used as it is stored, whatever its EXIF says.
        orientation_known: False if it is not certain whether to apply the picture's EXIF orientation.

    Raises:
        ValueError: the picture is not (H, W, 3) uint8, order or step is not a whole number, or an argument is
            of another type.
    """

    order: int
    step: int
    rgb: NDArray[np.uint8]
    depthmap: DepthMap
    calibration: Calibration | None = None
    exif_orientation: int = 1
    orientation_known: bool = True

    def __post_init__(self) -> None:
        check_whole(self.order, "order", (0, np.inf))
        check_whole(self.step, "step")
        check_picture(self.rgb)
        check_type(self.depthmap, DepthMap, "depthmap")
        if self.calibration is not None:
            check_type(self.calibration, Calibration, "calibration", "parse_calibration returns one")

    @property
    def picture_size(self) -> tuple[int, int]:
        """The width and height of the picture."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[0])

    @property
    def color(self) -> Intrinsics:
        """The intrinsics of the colour camera, for a picture of this size."""
        if self.calibration is not None:
            return self.calibration.color_intrinsics(*self.picture_size)
        return self.depthmap.intrinsics.resized(*self.picture_size)

    @cached_property
    def view(self) -> View:
        """The depth map and the colour camera: they map between the pixels of picture and depth map."""
        return View(self.depthmap, self.color)

    @cached_property
    def alignment(self) -> Alignment | None:
        """How well picture and depth map agree; None if they do not fit their calibration (`View.fits`)."""
        return measure_alignment(self.rgb, self.view) if self.view.fits else None

    @property
    def misaligned(self) -> bool:
        """Whether the picture shows another view than the depth map, or its orientation is not certain."""
        return not self.orientation_known or (self.alignment is not None and self.alignment.misaligned)

    @cached_property
    def floor(self) -> float | None:
        """World y of the floor in metres; None if the frame shows no floor, or its pose is unknown."""
        return floor_height(self.depthmap)


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that cannot be read, with the reason as text. The reason contains no file names."""

    order: int
    step: int
    reason: str


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan.

    Attributes:
        step: of the first frame.
        frames: at least one, sorted by order.
        broken: frames that could not be read, sorted by order.
        ignored: files and entries of `scan.json` that were not used: a line for each kind, without names.
        digest: SHA-256 (hex) of what was read: the role, order and bytes of each file, without names. A
            folder and the same bytes in memory have the same digest.

    Raises:
        ValueError: `frames` are no frames, or `broken` no broken ones.
    """

    step: int
    frames: tuple[Frame, ...]
    broken: tuple[BrokenFrame, ...]
    digest: str
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_each(self.frames, Frame, "frames")
        check_each(self.broken, BrokenFrame, "broken")

    @property
    def declared(self) -> Literal["standing", "lying"] | None:
        """The child's posture according to the scan's step; None if the step is unknown."""
        return posture_for_step(self.step)
