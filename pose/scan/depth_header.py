"""The header line of a `.depth` file: size, scale, largest confidence and the camera's pose.

The line has ten fields. Old files have only the first three, and no pose::

    240x180_0.001_7_-0.15386176_0.6911723_0.6840933_-0.17500913_0.024252899_-0.09748171_0.07438941
    W x H   scale  C  qx          qy        qz        qw          tx          ty          tz

Further fields are ignored, as by the original system. With fewer than ten there is no pose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidDepthFile
from pose.scan.decimals import check_range, parse_number
from pose.scan.text import decode_text

MAX_LINE: Final = 512
MAX_SIDE: Final = 4096
MAX_PIXELS: Final = 1280 * 960
SCALE_RANGE: Final = (1e-5, 0.01)  # metres a unit; the largest allows depths up to 655 m
CONFIDENCE_RANGE: Final = (0.0, 255.0)  # one byte
# With other numbers the pose is unknown.
MIN_NORM, MAX_NORM = 0.1, 10.0  # of the quaternion
MAX_POSITION: Final = 10_000.0  # metres from where the phone started tracking

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?\d{1,5} ?(?:[xX*\xd7]|\xc3\x97) ?\d{1,5} ?_")
_SIZE: Final = re.compile(r"0*([1-9]\d{0,4})\s*[xX\u00d7*]\s*0*([1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, eq=False)
class Header:
    """A checked header.

    Attributes:
        width, height: pixels.
        scale: metres a depth unit.
        levels: the largest confidence value; 0 if the file has no confidence.
        rotation: (3, 3) float64, camera to world; the identity if the pose is unknown.
        translation: (3,) float64 metres; 0 if the pose is unknown.
        pose_known: False for an old file, and if the phone did not know its pose: the position is 0, 0, 0, or
            a number of the pose is not finite, missing or impossible.
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
        InvalidDepthFile: one of the first three fields is missing, not a number or out of range, or the pose
            holds something that is not a number.

    >>> header = parse_header(b"240x180_0.001_7_0_0_0_1_0.5_1.2_-0.3", "depth")
    >>> header.width, header.scale, header.translation.tolist()
    (240, 0.001, [0.5, 1.2, -0.3])
    """
    try:
        fields = [field.strip() for field in decode_text(line).strip("\"' ").split("_")]
    except ValueError:
        raise InvalidDepthFile(file, "header", "not text", "WxH_scale_C_…") from None
    if len(fields) < 3:
        raise InvalidDepthFile(file, "header", f"{len(fields)} fields", "10, or 3 in old files")
    width, height = _size(fields[0], file)
    scale = check_range(_number(fields[1], file, "scale"), SCALE_RANGE, InvalidDepthFile, file, "scale")
    levels = _number(fields[2], file, "largest confidence")
    check_range(levels, CONFIDENCE_RANGE, InvalidDepthFile, file, "largest confidence")
    if 0 < levels < 1:  # a confidence of 0 divided by 1e-300 is not a number
        raise InvalidDepthFile(file, "largest confidence", f"{levels:g}", "0 for none, or 1 to 255")
    pose = _pose(fields[3:10], file)
    rotation, position = (np.eye(3), np.zeros(3)) if pose is None else pose
    return Header(width, height, scale, levels, rotation, position, pose is not None)


def line_end(data: bytes) -> int:
    """Return the index of the last byte of the first line end, which may be LF, CR LF or CR; -1 for none."""
    found = _LINE_END.search(data)
    return found.end() - 1 if found else -1


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


def _pose(fields: list[str], file: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the rotation and the position; None if the phone did not know its pose."""
    names = ("quaternion",) * 4 + ("position",) * 3
    if len(fields) < len(names):
        return None
    # An empty field is a number that is not there.
    values = [_number(field or "NaN", file, name) for field, name in zip(fields, names, strict=True)]
    if not np.isfinite(values).all():
        return None
    quaternion, position = np.array(values[:4]), np.array(values[4:])
    # The phone writes 0, 0, 0 if its tracking failed. Numbers that no pose has are no better.
    if not position.any() or np.abs(position).max() > MAX_POSITION or np.abs(quaternion).max() > MAX_NORM:
        return None
    norm = float(np.linalg.norm(quaternion))
    if not MIN_NORM <= norm <= MAX_NORM:
        return None
    return rotation_matrix(quaternion / norm), position


def _number(text: str, file: str, name: str) -> float:
    number = parse_number(text)
    if number is None:
        raise InvalidDepthFile(file, name, "not a number", "a number")
    return number
