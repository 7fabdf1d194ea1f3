"""The header line of a `.depth` file: size, scale, largest confidence and the camera's pose.

The line has ten fields. Old files have only the first three, and no pose::

    240x180_0.001_7_-0.15386176_0.6911723_0.6840933_-0.17500913_0.024252899_-0.09748171_0.07438941
    W x H   scale  C  qx          qy        qz        qw          tx          ty          tz
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidDepthFile
from pose.scan.decimals import check_range, is_number

MAX_LINE: Final = 512
MAX_SIDE: Final = 4096
MAX_PIXELS: Final = 1280 * 960
SCALE_RANGE: Final = (1e-5, 0.01)  # metres a unit; the largest allows depths up to 655 m
CONFIDENCE_RANGE: Final = (0.0, 255.0)  # one byte
QUATERNION_RANGE: Final = (-10.0, 10.0)
MIN_NORM: Final = 0.1
POSITION_RANGE: Final = (-10_000.0, 10_000.0)  # metres from where the phone started tracking

_START: Final = re.compile(rb"\d{1,5}x\d{1,5}_")
_SIZE: Final = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, eq=False)
class Header:
    """A checked header.

    Attributes:
        width, height: pixels.
        scale: metres a depth unit.
        levels: the largest confidence value; 0 if the file has no confidence.
        rotation: (3, 3) float64, camera to world; the identity if the pose is unknown.
        translation: (3,) float64 metres; 0 if the pose is unknown.
        pose_known: False for an old file, and if the phone lost its position.
    """

    width: int
    height: int
    scale: float
    levels: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    pose_known: bool


def parse_header(line: bytes, file: str) -> Header:
    """Read a header line, given without its line end.

    Args:
        line: the bytes of the line.
        file: what error messages call the file.

    Raises:
        InvalidDepthFile: the number of fields is wrong, or a field is not a number or is out of range.

    >>> header = parse_header(b"240x180_0.001_7_0_0_0_1_0.5_1.2_-0.3", "depth")
    >>> header.width, header.scale, header.translation.tolist()
    (240, 0.001, [0.5, 1.2, -0.3])
    """
    try:
        fields = line.decode("ascii").strip().split("_")
    except UnicodeDecodeError:
        raise InvalidDepthFile(file, "header", "not text", "WxH_scale_C_…") from None
    if len(fields) not in (3, 10):
        raise InvalidDepthFile(file, "header", f"{len(fields)} fields", "10, or 3 in old files")
    width, height = _size(fields[0], file)
    scale = _number(fields[1], SCALE_RANGE, file, "scale")
    levels = _number(fields[2], CONFIDENCE_RANGE, file, "largest confidence")
    if 0 < levels < 1:  # a confidence of 0 divided by 1e-300 is not a number
        raise InvalidDepthFile(file, "largest confidence", f"{levels:g}", "0 for none, or 1 to 255")
    unknown = Header(width, height, scale, levels, np.eye(3), np.zeros(3), False)
    if len(fields) == 3:
        return unknown
    quaternion = np.array([_number(f, QUATERNION_RANGE, file, "quaternion") for f in fields[3:7]])
    position = np.array([_number(f, POSITION_RANGE, file, "position") for f in fields[7:10]])
    if not position.any():  # the phone writes 0, 0, 0 if its tracking failed
        return unknown
    norm = float(np.linalg.norm(quaternion))
    if norm < MIN_NORM:
        raise InvalidDepthFile(file, "quaternion", f"length {norm:g}", "a unit quaternion")
    return Header(width, height, scale, levels, rotation_matrix(quaternion / norm), position, True)


def starts_like_header(data: bytes) -> bool:
    """Return whether the data start like a header line: with the size and an underscore."""
    return _START.match(data) is not None


def format_header(header: Header) -> bytes:
    """Return the line that `parse_header` reads, with its line end: three fields if the pose is unknown."""
    fields = [f"{header.width}x{header.height}", f"{header.scale:.9g}", f"{header.levels:g}"]
    if header.pose_known:
        fields += [f"{value:.17g}" for value in (*quaternion_of(header.rotation), *header.translation)]
    return "_".join(fields).encode("ascii") + b"\n"


def rotation_matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation of a unit quaternion x, y, z, w.

    >>> rotation_matrix(np.array([0, 0, 1, 0])).tolist()  # half a turn about z
    [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x, y, z, w = (float(value) for value in quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def quaternion_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion x, y, z, w of a (3, 3) rotation.

    This is the inverse of `rotation_matrix`, except that the sign of the quaternion can differ.

    >>> quaternion_of(np.eye(3)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    r = np.asarray(rotation, np.float64)
    # Row i is 4 q_i q. The row of the largest q_i is the most accurate (Shepperd, 1978).
    products = np.array([
        [1 + r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
        [r[1, 0] + r[0, 1], 1 - r[0, 0] + r[1, 1] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
        [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], 1 - r[0, 0] - r[1, 1] + r[2, 2], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + r[0, 0] + r[1, 1] + r[2, 2]],
    ])  # fmt: skip
    row = products[int(np.argmax(np.diag(products)))]
    return np.asarray(row / np.linalg.norm(row), np.float64)


def _size(text: str, file: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidDepthFile(file, "size", "not a size", "WxH")
    width, height = int(match[1]), int(match[2])
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidDepthFile(file, "size", f"{width}x{height}", f"at most {MAX_PIXELS} pixels")
    return width, height


def _number(text: str, limits: tuple[float, float], file: str, name: str) -> float:
    if not is_number(text):
        raise InvalidDepthFile(file, name, "not a number", "a finite number")
    return check_range(float(text), limits, InvalidDepthFile, file, name)
