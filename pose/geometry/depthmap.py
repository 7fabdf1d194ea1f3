"""A depth map with its camera and the pose of that camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.geometry.camera import Intrinsics
from pose.geometry.resample import Sampler

# Bilinear resampling between two surfaces would make up points in the air.
MAX_STEP: Final = 0.05


def _identity() -> NDArray[np.float64]:
    return np.eye(3)


def _origin() -> NDArray[np.float64]:
    return np.zeros(3)


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth as the camera saw it, and where the camera stood.

    Pixel (u, v) is column, row; (0, 0) is the middle of the top left one. The camera looks along its -z,
    with y up and x to the right of the picture. The world is in metres, y up, gravity-aligned.

    Attributes:
        depth: (H, W) float32 metres along the camera's axis, 0 = no measurement.
        confidence: (H, W) float32, 0..1, or None where the sensor gives none.
        intrinsics: of a picture of this size.
        rotation: (3, 3) float64, camera to world.
        translation: (3,) float64, the camera's position in the world, metres.
        pose_known: False where the phone did not know its pose; rotation and translation are then the
            identity and nothing tells which way is up.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None
    intrinsics: Intrinsics
    rotation: NDArray[np.float64] = field(default_factory=_identity)
    translation: NDArray[np.float64] = field(default_factory=_origin)
    pose_known: bool = False

    @property
    def width(self) -> int:
        return int(self.depth.shape[1])

    @property
    def height(self) -> int:
        return int(self.depth.shape[0])

    @property
    def missing(self) -> float:
        """Share of the pixels without depth, 0..1."""
        return 1.0 - float(np.count_nonzero(self.depth)) / self.depth.size

    @property
    def camera_angle_deg(self) -> float | None:
        """Angle between the camera's axis and the horizontal: -90 looks straight down, 90 straight up.

        None where the pose is unknown.
        """
        if not self.pose_known:
            return None
        # Column 2 is the camera's z axis in the world; it looks along -z.
        return math.degrees(math.asin(max(-1.0, min(1.0, -float(self.rotation[1, 2])))))

    def points(self) -> NDArray[np.float64]:
        """World point of each pixel, (H, W, 3) float64 metres.

        A pixel without depth gives the camera's position.
        """
        return self.unproject(np.arange(self.width), np.arange(self.height)[:, None], self.depth)

    def unproject(self, u: ArrayLike, v: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
        """Return the world points (..., 3) float64, in metres, that pixels with these depths show.

        Args:
            u, v, depth: as of `Intrinsics.unproject`.
        """
        return self.intrinsics.unproject(u, v, depth) @ self.rotation.T + self.translation

    def project(
        self, points: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixels that show world points: the inverse of `unproject`.

        Args:
            points: (..., 3) metres.

        Returns:
            u, v (columns and rows, not rounded, maybe outside the picture) and d (depth in metres), each
            (...,) float64. u and v are NaN where a point is not in front of the camera (d <= 0).
        """
        # p_world = R p_cam + t, so p_cam = R^T (p_world - t), which in rows is a product with R.
        local = (np.asarray(points, np.float64) - self.translation) @ self.rotation
        return *self.intrinsics.project(local), -local[..., 2]

    def resized(self, width: int, height: int) -> DepthMap:
        """The same view with width x height pixels, resampled bilinearly.

        With x = W / width and y = H / height, pixel (u, v) of the result lies at u x and, as cy counts from
        the bottom row, H - 1 - (height - 1 - v) y here: its ray is exactly the one that its intrinsics say.
        It has no depth where one of its four source pixels has none or two of them differ by more than
        0.05 m, so no points are made up between a body and what is behind it. Beyond the middle of the
        last column and the first row these are repeated.
        """
        if width < 1 or height < 1:
            raise ValueError(f"{width}x{height} is no size")
        columns = np.arange(width) * (self.width / width)
        rows = self.height - 1 - np.arange(height - 1, -1, -1) * (self.height / height)
        sampler = Sampler(columns, rows, self.depth.shape)
        depth = sampler.mean(self.depth)
        low, high = sampler.each(self.depth, np.minimum), sampler.each(self.depth, np.maximum)
        depth[(low <= 0) | (high - low > MAX_STEP)] = 0
        return DepthMap(
            depth=depth,
            confidence=None if self.confidence is None else sampler.mean(self.confidence),
            intrinsics=self.intrinsics.resized(width, height),
            rotation=self.rotation,
            translation=self.translation,
            pose_known=self.pose_known,
        )
