"""A depth map with its camera and the pose of that camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.checks import check_confidence, check_depth, check_numbers, check_points, check_size, check_type
from pose.geometry.camera import Intrinsics
from pose.geometry.resample import Sampler

# Metres. Across a larger step in depth two surfaces meet: interpolating would put points between them.
MAX_STEP: Final = 0.05
# A rotation times its transpose is the identity, but for the rounding of whoever made it.
_MAX_SKEW: Final = 1e-3


@dataclass(frozen=True, eq=False)
class DepthMap:
    """A depth map, with the intrinsics and the pose of its camera.

    Pixel (u, v) is column, row; (0, 0) is the centre of the top left pixel. Camera axes are those of
    `Intrinsics`. The world is in metres, y up, aligned with gravity.

    Attributes:
        depth: (H, W) float32 metres along the camera's axis, 0 = no measurement.
        confidence: (H, W) float32, 0..1, or None if the sensor gives none.
        intrinsics: of the depth camera, for a picture of this size.
        rotation: (3, 3) float64, camera to world.
        translation: (3,) float64, the camera's position in the world, metres.
        pose_known: False if the phone did not know its pose. Then rotation and translation are the identity,
            and the direction of gravity is unknown.

    Raises:
        ValueError: depth or confidence is not (H, W), or of another size than the intrinsics; depth is not
            floating-point, negative or not finite, or in millimetres; confidence is not 0..1; the rotation is
            none.
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32] | None
    intrinsics: Intrinsics
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    translation: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pose_known: bool = False

    def __post_init__(self) -> None:
        check_type(self.intrinsics, Intrinsics, "intrinsics")
        width, height = self.intrinsics.width, self.intrinsics.height
        depth = check_depth(self.depth, width, height)
        if depth is not self.depth:
            object.__setattr__(self, "depth", depth)
        if self.confidence is not None:
            check_confidence(self.confidence, width, height)
        rotation = check_numbers(self.rotation, (3, 3), "rotation")
        skew = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if skew > _MAX_SKEW or np.linalg.det(rotation) < 0:
            raise ValueError("rotation is no rotation, expected the (3, 3) matrix from camera to world")
        check_numbers(self.translation, (3,), "translation")

    @property
    def width(self) -> int:
        return int(self.depth.shape[1])

    @property
    def height(self) -> int:
        return int(self.depth.shape[0])

    @property
    def missing(self) -> float:
        """The share of pixels without depth, 0..1."""
        return 1.0 - float(np.count_nonzero(self.depth)) / self.depth.size

    @property
    def camera_angle_deg(self) -> float | None:
        """The angle of the camera's view above the horizontal in degrees: -90 is straight down.

        None if the pose is unknown.
        """
        if not self.pose_known:
            return None
        # Column 2 is the camera's z axis in the world; it looks along -z.
        return math.degrees(math.asin(max(-1.0, min(1.0, -float(self.rotation[1, 2])))))

    def points(self) -> NDArray[np.float64]:
        """Return the world point of each pixel, (H, W, 3) float64 metres.

        A pixel without depth gives the camera's position.

        >>> flat = DepthMap(np.full((48, 64), 2, np.float32), None, Intrinsics(100, 100, 32, 24, 64, 48))
        >>> flat.points()[24, 32]
        array([ 0.,  0., -2.])
        """
        return self.unproject(np.arange(self.width), np.arange(self.height)[:, None], self.depth)

    def unproject(self, u: ArrayLike, v: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
        """Return the world points, (..., 3) float64 metres, that pixels with these depths show.

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
            u, v (columns and rows, not rounded, possibly outside the picture) and d (depth in metres), each
            (...,) float64. u and v are NaN for a point that is not in front of the camera (d <= 0).
        """
        # p_world = R p_cam + t, so p_cam = R^T (p_world - t), which in rows is a product with R.
        local = (check_points(points, 3) - self.translation) @ self.rotation
        return *self.intrinsics.project(local), -local[..., 2]

    def resized(self, width: int, height: int) -> DepthMap:
        """Return the same view with width x height pixels, interpolated bilinearly.

        The rays of the new pixels are exactly those of the new intrinsics (`Intrinsics.resized`): with
        x = W / width and y = H / height, pixel (u, v) is sampled at (u x, H - 1 - (height - 1 - v) y). A
        pixel has no depth if one of its four source pixels has none, or if two of them differ by more than
        0.05 m: no points are invented between a body and the background. Outside the pixel centres the
        border is repeated.

        Raises:
            ValueError: width or height is less than 1, or not whole.
        """
        width, height = check_size((width, height), "size")
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
