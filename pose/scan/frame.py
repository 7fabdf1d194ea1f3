"""A scan and its frames, as they were read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.orientation import STANDING_STEPS, is_known_step
from pose.geometry.view import View
from pose.scan.calibration import Calibration


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and the depth map that was taken with it, both in sensor orientation.

    Attributes:
        order: the frame's number in its scan.
        step: what was scanned, see `orientation`; not always a known one.
        rgb: (H, W, 3) uint8 RGB. Its size and aspect need not be those of the depth map.
        depthmap: depth, its camera and its pose.
        calibration: of both cameras; None means that they share one view.
    """

    order: int
    step: int
    rgb: NDArray[np.uint8]
    depthmap: DepthMap
    calibration: Calibration | None = None

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[0])

    @property
    def color(self) -> Intrinsics:
        """Intrinsics of the colour camera for a picture of this size."""
        if self.calibration is not None:
            return self.calibration.color_intrinsics(*self.picture_size)
        return self.depthmap.intrinsics.resized(*self.picture_size)

    @cached_property
    def view(self) -> View:
        """The picture, by its camera, and the depth map: what maps between their pixels."""
        return View(self.depthmap, self.color)

    @cached_property
    def floor(self) -> float | None:
        """World y of the floor in metres; None if the frame shows no floor, or its pose is unknown."""
        return floor_height(self.depthmap)


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that cannot be read, and why, for a person to read. No file names stand in the reason."""

    order: int
    step: int
    reason: str


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that was read.

    Attributes:
        step: what was scanned: that of the first frame.
        frames: at least one, by their order.
        broken: frames that could not be read, by their order.
        digest: SHA-256 (hex) over what was read: each file's role, order and bytes, and no name. A folder
            and the same bytes in memory have equal digests.
    """

    step: int
    frames: tuple[Frame, ...]
    broken: tuple[BrokenFrame, ...]
    digest: str

    @property
    def declared(self) -> Literal["standing", "lying"] | None:
        """The posture that the scan's step says the child was in; None if the step is unknown."""
        if not is_known_step(self.step):
            return None
        return "standing" if self.step in STANDING_STEPS else "lying"
