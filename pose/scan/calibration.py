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

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pose.checks import check_bytes, check_numbers
from pose.errors import InvalidCalibration
from pose.geometry.camera import Intrinsics
from pose.scan.decimals import check_range, parse_number, parse_numbers
from pose.scan.text import decode_text

MAX_BYTES: Final = 16 * 1024

# Of the normalised values. Phones have about 0.7 and 0.5; a value outside these ranges means a damaged file.
FOCAL_RANGE: Final = (0.1, 10.0)
CENTRE_RANGE: Final = (0.0, 1.0)
MAX_POSITION: Final = 1.0  # metres between two cameras of one phone

# What programs save in place of plain text.
_DOCUMENTS: Final = {
    b"PK\x03\x04": "a ZIP archive, such as a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"{\\rtf": "an RTF document",
    b"<": "HTML or XML",
    b"%PDF": "a PDF document",
}
# A label without spaces and signs, in small letters.
_LABEL: Final = re.compile(
    r"(?P<color>(?:colou?r|rgb)cameraintrinsics?)"
    r"|(?P<depth>depthcameraintrinsics?)|(?P<position>depthcamerapositions?)"
)
_COMMENT: Final = re.compile(r"#|//|/\*|<!--")
# Labels in one line, as in a row of a spreadsheet.
_NEXT_LABEL: Final = re.compile(r"(?<=\d)[\s;,|\"]+(?=(?:colou?r|rgb|depth)[\s_-]*camera)", re.IGNORECASE)
_REMARK: Final = re.compile(r"(?<=\S)\s*[(\[][^()\[\]\d]*[)\]]")  # "(fx fy cx cy)" behind a label
_NO_QUOTES: Final = str.maketrans("()[]{}", "      ", "\"'`")
_WORD: Final = re.compile(r"\w|\u221e")
_LETTER: Final = re.compile(r"[^\W\d_]")
_NOT_LETTERS: Final = re.compile(r"[\W\d_]+")
_NUMBER_START: Final = re.compile(r"(?<!\w)[+-]?\.?\d")
_EMPTY_CELLS: Final = " \t\xa0;,|"  # of a spreadsheet
_NUMBERS_ONLY: Final = re.compile(r"[\d\s.,;|eE+-]*", re.ASCII)

Normalised = tuple[float, float, float, float]


@dataclass(frozen=True)
class Calibration:
    """The two cameras of a phone.

    Attributes:
        color, depth: fx / width, fy / height, cx / width, cy / height of each camera; cy from the bottom row.
        position: of the depth camera in metres, as the file gives it: 0, 0, 0 on most devices, and where the
            file gives none that can be. Nothing uses it.

    Raises:
        ValueError: there are not four numbers, or they are not normalised.
    """

    color: Normalised
    depth: Normalised
    position: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    def __post_init__(self) -> None:
        for name, values in (("color", self.color), ("depth", self.depth)):
            check_numbers(values, (4,), name)
            check_numbers(values[:2], (2,), f"{name}: fx / width, fy / height", FOCAL_RANGE)
            check_numbers(values[2:], (2,), f"{name}: cx / width, cy / height", CENTRE_RANGE)

    def color_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Return the intrinsics of the colour camera for a picture of this size."""
        return to_intrinsics(self.color, width, height)

    def depth_intrinsics(self, width: int, height: int) -> Intrinsics:
        """Return the intrinsics of the depth camera for a depth map of this size."""
        return to_intrinsics(self.depth, width, height)


def is_calibration(data: bytes) -> bool:
    """Return whether the data are a text with a label of a camera."""
    try:
        return "camera" in decode_text(data).lower()
    except ValueError:
        return False


def parse_calibration(data: bytes, file: str = "calibration") -> Calibration:
    """Read the bytes of a `camera_calibration.txt`.

    The text may have any encoding of `decode_text`, any line ends, decimal points or commas, spaces, tabs,
    semicolons or commas between the numbers, quotes, brackets, and comments after # or //. Labels are
    recognised in any case, with or without a colon, before or beside their numbers; other labels and what
    follows them are ignored. The position is taken as 0, 0, 0 if it is missing or cannot be read.

    Args:
        data: the bytes of the file.
        file: what error messages call the file.

    Raises:
        InvalidCalibration: this is no text, a label of a camera is missing or is there twice with other
            numbers, or a number is not one or is out of range.
        ValueError: the data are not bytes.

    >>> text = b"Color camera intrinsic:\\n.7 .9 .5 .5\\nDepth camera intrinsic:\\n.7 .9 .5 .5"
    >>> parse_calibration(text).depth_intrinsics(240, 180)
    Intrinsics(fx=168.0, fy=162.0, cx=120.0, cy=89.0, width=240, height=180)
    """
    data = check_bytes(data, "data")
    if len(data) > MAX_BYTES:
        raise InvalidCalibration(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    for start, what in _DOCUMENTS.items():
        if data.startswith(start):
            raise InvalidCalibration(file, "encoding", what, "plain text")
    try:
        text = decode_text(data)
    except ValueError as problem:
        raise InvalidCalibration(file, "encoding", f"not text: {problem}", "plain text") from None
    found = _sections(text)
    color, depth = (_intrinsic(found[name], name, file) for name in ("color", "depth"))
    return Calibration(color, depth, _position(found["position"]))


def _sections(text: str) -> dict[str, list[str]]:
    """Return the numbers below each of the three labels as text, one for each time that the label occurs."""
    found: dict[str, list[str]] = {"color": [], "depth": [], "position": []}
    name: str | None = None
    for line in _NEXT_LABEL.sub("\n", text).splitlines():
        line = _COMMENT.split(line, maxsplit=1)[0]
        line = _REMARK.sub(" ", line).translate(_NO_QUOTES).strip().rstrip(_EMPTY_CELLS)
        if not _WORD.search(line):
            continue
        label, content = _split_label(line)
        if label:
            match = _LABEL.fullmatch(_NOT_LETTERS.sub("", label).lower())
            name = match and match.lastgroup
            if name:
                found[name].append("")
        elif name and found[name][-1] and not _NUMBERS_ONLY.fullmatch(content):
            name = None  # other text ends the numbers
        if name and content:
            found[name][-1] += f" {content}"
    return found


def _split_label(line: str) -> tuple[str, str]:
    """Return the label of a line and what follows it. One of them may be empty."""
    label, colon, content = line.partition(":" if ":" in line else "=")
    if not colon:  # "Color camera intrinsic 0.7 0.9 0.5 0.5", or no label
        start = _NUMBER_START.search(line)
        label, content = (line[: start.start()], line[start.start() :]) if start else (line, "")
    label = label.lstrip(_EMPTY_CELLS + "*=-")
    is_label = _LETTER.match(label) and parse_number(label.split()[0]) is None
    # Numbers of which one is damaged do not become a label.
    if is_label and (colon or not content or _LABEL.fullmatch(_NOT_LETTERS.sub("", label).lower())):
        return label, content.lstrip(_EMPTY_CELLS)
    return "", line


def _position(sections: list[str]) -> tuple[float, float, float]:
    """Return the position, or 0, 0, 0 if there is none that can be. Nothing uses it, so it costs no scan."""
    for section in sections:
        with suppress(ValueError):
            x, y, z = parse_numbers(section, 3)
            if all(abs(value) <= MAX_POSITION for value in (x, y, z)):  # false for NaN
                return x, y, z
    return 0.0, 0.0, 0.0


def _intrinsic(sections: list[str], name: str, file: str) -> Normalised:
    try:
        found = [parse_numbers(section, 4) for section in sections if section]
    except ValueError as problem:
        raise InvalidCalibration(file, name, str(problem), "4 numbers: fx fy cx cy") from None
    if not found:
        missing = "no numbers after its label" if sections else "missing"
        expected = f"'{name.capitalize()} camera intrinsic:' and 4 numbers: fx fy cx cy"
        raise InvalidCalibration(file, name, missing, expected)
    values = found[0]
    if any(other != values for other in found):
        raise InvalidCalibration(file, name, "there twice, with other numbers", "one line of numbers")
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
