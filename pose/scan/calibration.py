"""Read a scan's `camera_calibration.txt`: the intrinsics of its two cameras.

The file has three labelled lines of numbers::

    Color camera intrinsic:
    0.6786797 0.90489584 0.49585155 0.5035042
    Depth camera intrinsic:
    0.6786797 0.90489584 0.49585155 0.5035042
    Depth camera position:
    0 0 0

An intrinsic line is fx / width, fy / height, cx / width, cy / height. Here cy counts from the BOTTOM row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pose.errors import InvalidCalibration
from pose.geometry.camera import Intrinsics
from pose.scan.decimals import check_range, is_number

MAX_BYTES: Final = 16 * 1024

# Of the normalised values. Phones have about 0.7 and 0.5; a value outside these ranges means a damaged file.
FOCAL_RANGE: Final = (0.1, 10.0)
CENTRE_RANGE: Final = (0.0, 1.0)
POSITION_RANGE: Final = (-1.0, 1.0)  # metres between two cameras of one phone

_LABELS: Final = {
    "color camera intrinsic": "color",
    "colour camera intrinsic": "color",
    "depth camera intrinsic": "depth",
    "depth camera position": "position",
}


Normalised = tuple[float, float, float, float]


@dataclass(frozen=True)
class Calibration:
    """The two cameras of a phone.

    Attributes:
        color, depth: fx / width, fy / height, cx / width, cy / height of each camera; cy from the bottom row.
        position: of the depth camera in metres, as the file gives it: 0, 0, 0 on most devices. Not used.
    """

    color: Normalised
    depth: Normalised
    position: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    def color_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Return the intrinsics of the colour camera for a picture of this size."""
        return to_intrinsics(self.color, width, height)

    def depth_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Return the intrinsics of the depth camera for a depth map of this size."""
        return to_intrinsics(self.depth, width, height)


def parse_calibration(data: bytes, file: str = "calibration") -> Calibration:
    """Read the bytes of a `camera_calibration.txt`.

    All kinds of line ends, indentation and empty lines are accepted. The position may be missing.

    Args:
        data: the bytes of the file.
        file: what error messages call the file.

    Raises:
        InvalidCalibration: a line is missing or occurs twice, or a number is not one or is out of range.

    >>> text = b"Color camera intrinsic:\\n.7 .9 .5 .5\\nDepth camera intrinsic:\\n.7 .9 .5 .5"
    >>> parse_calibration(text).depth_intrinsics(240, 180)
    Intrinsics(fx=168.0, fy=162.0, cx=120.0, cy=89.0, width=240, height=180)
    """
    if len(data) > MAX_BYTES:
        raise InvalidCalibration(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidCalibration(file, "encoding", "not text", "ASCII text") from None

    found: dict[str, list[float]] = {}
    name: str | None = None
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            continue
        label = _LABELS.get(" ".join(line.rstrip(":").split()).lower())
        if label is not None:
            name = label
        elif name is None:
            raise InvalidCalibration(file, "label", "numbers or text before a label", "a known label line")
        elif name in found:
            raise InvalidCalibration(file, name, "more than one line", "one line of numbers")
        else:
            found[name] = _numbers(line, file, name)

    color, depth = _intrinsic(found, "color", file), _intrinsic(found, "depth", file)
    position = found.get("position", [0.0, 0.0, 0.0])
    if len(position) != 3:
        raise InvalidCalibration(file, "position", f"{len(position)} numbers", "3 numbers")
    x, y, z = (check_range(value, POSITION_RANGE, InvalidCalibration, file, "position") for value in position)
    return Calibration(color, depth, (x, y, z))


def _numbers(line: str, file: str, name: str) -> list[float]:
    words = line.split()
    if not all(map(is_number, words)):
        raise InvalidCalibration(file, name, "not numbers", "numbers separated by spaces")
    return [float(word) for word in words]


def _intrinsic(found: dict[str, list[float]], name: str, file: str) -> Normalised:
    if name not in found:
        raise InvalidCalibration(file, name, "missing", "four numbers: fx fy cx cy")
    values = found[name]
    if len(values) != 4:
        raise InvalidCalibration(file, name, f"{len(values)} numbers", "four numbers: fx fy cx cy")
    ranges = ((FOCAL_RANGE, "focal length"),) * 2 + ((CENTRE_RANGE, "centre"),) * 2
    fx, fy, cx, cy = (
        check_range(value, limits, InvalidCalibration, file, f"{name} {what}")
        for value, (limits, what) in zip(values, ranges, strict=True)
    )
    return fx, fy, cx, cy


def to_intrinsics(values: Normalised, width: int, height: int) -> Intrinsics:
    """Return the camera of a picture of this size, from the four numbers of a calibration file.

    >>> to_intrinsics((0.7, 0.9, 0.5, 0.5), 240, 180).cy
    89.0
    """
    fx, fy, cx, cy = values
    # In the file the bottom row is row 0. Everywhere else rows count from the top.
    return Intrinsics(fx * width, fy * height, cx * width, height - 1 - cy * height, width, height)
