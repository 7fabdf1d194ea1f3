"""Intrinsics of a scan's two cameras: `camera_calibration.txt`, read and checked.

The file has three labelled lines of numbers::

    Color camera intrinsic:
    0.6786797 0.90489584 0.49585155 0.5035042
    Depth camera intrinsic:
    0.6786797 0.90489584 0.49585155 0.5035042
    Depth camera position:
    0 0 0

An intrinsic line is fx / width, fy / height, cx / width, cy / height. cy counts from the BOTTOM row.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

from pose.errors import InvalidCalibration
from pose.geometry.camera import Intrinsics

MAX_BYTES: Final = 16 * 1024

# Normalised values. Phones lie near 0.7 and 0.5; outside of these a file is damaged, not unusual.
FOCAL_RANGE: Final = (0.1, 10.0)
CENTRE_RANGE: Final = (0.0, 1.0)
POSITION_RANGE: Final = (-1.0, 1.0)  # metres between two cameras of one phone

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LABELS: Final = {
    "color camera intrinsic": "color",
    "colour camera intrinsic": "color",
    "depth camera intrinsic": "depth",
    "depth camera position": "position",
}


Normalised = tuple[float, float, float, float]


@dataclass(frozen=True)
class Calibration:
    """Both cameras of a phone.

    Attributes:
        color, depth: fx / width, fy / height, cx / width, cy / height of each camera.
        position: of the depth camera, in metres, as the file gives it. On most devices 0, 0, 0.
    """

    color: Normalised
    depth: Normalised
    position: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    @property
    def same_view(self) -> bool:
        """Whether both cameras share one view, so that a colour pixel maps to depth by scaling alone."""
        return all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(self.color, self.depth, strict=True))

    def color_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Intrinsics of a colour picture of this size."""
        return to_intrinsics(self.color, width, height)

    def depth_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Intrinsics of a depth map of this size."""
        return to_intrinsics(self.depth, width, height)


def parse_calibration(data: bytes, file: str = "calibration") -> Calibration:
    """Read the bytes of a `camera_calibration.txt`.

    Lines may end in any way, be indented, and be parted by empty ones. The position may be missing.

    Raises:
        InvalidCalibration: a line is missing or doubled, or a number is none, not finite or out of range.
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
    x, y, z = (_in_range(value, POSITION_RANGE, file, "position") for value in position)
    return Calibration(color, depth, (x, y, z))


def _numbers(line: str, file: str, name: str) -> list[float]:
    words = line.split()
    if not all(_NUMBER.fullmatch(word) for word in words):
        raise InvalidCalibration(file, name, "not numbers", "numbers separated by spaces")
    return [float(word) for word in words]


def _intrinsic(found: dict[str, list[float]], name: str, file: str) -> Normalised:
    if name not in found:
        raise InvalidCalibration(file, name, "missing", "four numbers: fx fy cx cy")
    values = found[name]
    if len(values) != 4:
        raise InvalidCalibration(file, name, f"{len(values)} numbers", "four numbers: fx fy cx cy")
    fx, fy = (_in_range(value, FOCAL_RANGE, file, f"{name} focal length") for value in values[:2])
    cx, cy = (_in_range(value, CENTRE_RANGE, file, f"{name} centre") for value in values[2:])
    return fx, fy, cx, cy


def _in_range(value: float, limits: tuple[float, float], file: str, name: str) -> float:
    low, high = limits
    if not low <= value <= high:  # also false for NaN
        raise InvalidCalibration(file, name, f"{value:g}", f"{low:g} to {high:g}")
    return value


def to_intrinsics(values: Normalised, width: int, height: int) -> Intrinsics:
    """Return the camera of a picture of this size, from the four numbers of a calibration file."""
    fx, fy, cx, cy = values
    # The file counts rows from the bottom one, which is 0. Everywhere else rows count from the top.
    return Intrinsics(fx * width, fy * height, cx * width, height - 1 - cy * height, width, height)
