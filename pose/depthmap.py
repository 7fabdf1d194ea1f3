"""A depth map with its camera and pose, and the `.depth` files that it comes from.

A `.depth` file is a ZIP archive with one member, `data`: a header line (`depthheader`), then H rows of W
pixels, top row first, 3 bytes each: depth high byte, depth low byte, confidence. Depth times the header's
scale is metres, 0 is no measurement. Devices whose scan `version` begins with `ir` write another encoding,
see `parse_depth`.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass, field
from typing import IO, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.archive import MAX_BYTES, MEMBER, is_archive, open_member
from pose.calibration import Calibration, Intrinsics
from pose.depthheader import MAX_LINE, Header, format_header, parse_header
from pose.errors import InvalidDepthFile
from pose.resample import Sampler

Encoding = Literal["zip", "ir"]

KNOWN_SIZES: Final = ((240, 180), (180, 135), (640, 480))
MAX_TRAILING: Final = 4096  # bytes after the pixels; real files carry a few
IR_SCALE: Final = 0.001  # `ir` files without a header are in millimetres

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
        return self.world(np.arange(self.width), np.arange(self.height)[:, None], self.depth)

    def world(self, u: ArrayLike, v: ArrayLike, d: ArrayLike) -> NDArray[np.float64]:
        """World points of pixels.

        Args:
            u, v, d: columns, rows and depths in metres, of shapes that broadcast together; u and v need
                not be integers nor inside the picture.

        Returns:
            (..., 3) float64 metres.
        """
        camera = self.intrinsics
        columns, rows, depth = (np.asarray(a, np.float64) for a in (u, v, d))
        x = (columns - camera.cx) / camera.fx * depth
        y = ((self.height - 1 - rows) - camera.cy) / camera.fy * depth
        points = np.empty((*np.broadcast_shapes(x.shape, y.shape), 3))
        points[..., 0], points[..., 1], points[..., 2] = x, y, -depth
        return points @ self.rotation.T + self.translation

    def project(
        self, points: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of world points: the inverse of `world`.

        Args:
            points: (..., 3) metres.

        Returns:
            u, v (columns and rows, not rounded, maybe outside the picture) and d (depth in metres), each
            (...,) float64. u and v are NaN where a point is not in front of the camera (d <= 0).
        """
        camera = self.intrinsics
        # p_world = R p_cam + t, so p_cam = R^T (p_world - t), which in rows is a product with R.
        local = (np.asarray(points, np.float64) - self.translation) @ self.rotation
        depth = -local[..., 2]
        ahead = np.where(depth > 0, depth, np.nan)
        u = local[..., 0] / ahead * camera.fx + camera.cx
        v = self.height - 1 - (local[..., 1] / ahead * camera.fy + camera.cy)
        return u, v, depth

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


def parse_depth(
    data: bytes,
    calibration: Calibration,
    file: str = "depth",
    encoding: Encoding = "zip",
    size: tuple[int, int] | None = None,
) -> DepthMap:
    """Read the bytes of a `.depth` file.

    Args:
        data: the file.
        calibration: of the phone; its depth camera is used.
        file: what errors call it.
        encoding: "zip" is the format above. "ir" is H * W little-endian uint16, without confidence. No
            header is known to stand before those and no real file was at hand, so this reads all that
            can be meant: with an archive around it or without, with a header line (which then counts) or
            without. Without one, the size is `size` or else the one of `KNOWN_SIZES` that the number of
            bytes fits, depths are millimetres and the pose is unknown.
        size: width, height of an "ir" file without header.

    Raises:
        InvalidDepthFile: anything in it is not as it should be. No more is inflated or allocated than
            a checked header allows.
    """
    if len(data) > MAX_BYTES:
        raise InvalidDepthFile(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    if encoding == "ir" and not is_archive(data):
        return _read(io.BytesIO(data), len(data), calibration, file, encoding, size)
    with open_member(data, file) as (stream, length):
        return _read(stream, length, calibration, file, encoding, size)


def write_depth(depthmap: DepthMap, scale: float = 0.001, levels: int = 7) -> bytes:
    """The bytes of a `.depth` file that `parse_depth` reads. Equal input gives equal bytes.

    Depth is rounded to multiples of `scale`, confidence to one of `levels` (1..255). Where the confidence
    is None every pixel gets the largest. A known pose at exactly 0, 0, 0 is written a micrometre higher,
    since the format means an unknown one by that.

    Raises:
        ValueError: a depth that is negative, not finite or beyond 65535 * scale.
    """
    if not 1 <= levels <= 255:
        raise ValueError(f"levels is {levels}, expected 1 to 255")
    units = np.rint(depthmap.depth / scale)
    if not (units.min() >= 0 and units.max() <= 0xFFFF):
        raise ValueError(f"depth outside 0 to {0xFFFF * scale:g} m")
    pixels = np.empty((*depthmap.depth.shape, 3), np.uint8)
    pixels[..., :2] = units.astype(">u2")[..., None].view(np.uint8)
    confidence = 1.0 if depthmap.confidence is None else np.clip(depthmap.confidence, 0, 1)
    pixels[..., 2] = np.rint(np.asarray(confidence) * levels)
    translation = depthmap.translation
    if depthmap.pose_known and not translation.any():
        translation = np.array([0.0, 1e-6, 0.0])
    header = Header(
        depthmap.width, depthmap.height, scale, levels, depthmap.rotation, translation, depthmap.pose_known
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(MEMBER)  # its date is always the same one
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, format_header(header) + pixels.tobytes())
    return packed.getvalue()


def _read(
    stream: IO[bytes],
    length: int,
    calibration: Calibration,
    file: str,
    encoding: Encoding,
    size: tuple[int, int] | None,
) -> DepthMap:
    pixel_bytes = 3 if encoding == "zip" else 2
    start = stream.read(MAX_LINE)
    end = start.find(b"\n")
    # A header begins like "240x"; a depth map of exactly these values in its first pixels does not occur.
    if encoding == "ir" and (end < 0 or b"x" not in start[:6] or not start[:1].isdigit()):
        header, end = _guessed_header(length, size, file), -1
    elif end < 0:
        raise InvalidDepthFile(file, "header", "no line end", f"a line of at most {MAX_LINE} bytes")
    else:
        header = parse_header(start[:end], file)

    count = header.width * header.height
    need = end + 1 + count * pixel_bytes
    if not need <= length <= need + MAX_TRAILING:
        problem = f"{length - end - 1} bytes for {header.width}x{header.height}"
        raise InvalidDepthFile(file, "pixels", problem, f"{need - end - 1}")
    data = start + stream.read(length - len(start))
    # Only at its end the archive's checksum is compared.
    if len(data) != length or stream.read(1):
        raise InvalidDepthFile(file, "pixels", "fewer bytes than declared", f"{length}")

    shape = (header.height, header.width)
    confidence = None
    if encoding == "zip":
        pixels = np.frombuffer(data, np.uint8, count * 3, end + 1).reshape(*shape, 3)
        units = pixels[..., 0].astype(np.float32) * 256 + pixels[..., 1]
        if header.levels:
            confidence = np.minimum(pixels[..., 2] * np.float32(1 / header.levels), np.float32(1))
    else:
        units = np.frombuffer(data, "<u2", count, end + 1).reshape(shape).astype(np.float32)
    return DepthMap(
        depth=units * np.float32(header.scale),
        confidence=confidence,
        intrinsics=calibration.depth_intrinsics(header.width, header.height),
        rotation=header.rotation,
        translation=header.translation,
        pose_known=header.pose_known,
    )


def _guessed_header(length: int, size: tuple[int, int] | None, file: str) -> Header:
    """Of an `ir` file that has none."""
    for width, height in KNOWN_SIZES if size is None else (size,):
        if width * height * 2 <= length <= width * height * 2 + MAX_TRAILING:
            return Header(width, height, IR_SCALE, 0, np.eye(3), np.zeros(3), False)
    raise InvalidDepthFile(file, "pixels", f"{length} bytes", "two bytes a pixel of a known size")
