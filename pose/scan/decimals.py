"""Numbers in the text files of a scan."""

from __future__ import annotations

import math
import re
from typing import Final

from pose.errors import InvalidScan

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# What Java, C, Python, Visual C++ and databases write for a value that is not there or is not finite.
_NO_VALUE: Final = re.compile(
    r"[+-]?(?:nan(?:\(\w*\))?|inf(?:inity)?|\u221e|1\.#(?:ind|inf|qnan|snan)\w*|null|none)", re.IGNORECASE
)
_SEPARATORS: Final = re.compile(r"[\s;|]+")
_COMMA_NUMBER: Final = re.compile(r"(?<!\d)[+-]?\d+,\d+(?:[eE][+-]?\d+)?(?!\d)", re.ASCII)


def parse_number(text: str) -> float | None:
    """Return the number that a text is, with a decimal point or comma; None if it is none.

    Return NaN for a word that stands for a value that is not finite or not there. "0x1" and "1_0" are none.

    >>> parse_number("-6.7E-1"), parse_number("0,5"), parse_number("Infinity"), parse_number("0x1")
    (-0.67, 0.5, nan, None)
    """
    if "," in text and "." not in text:
        text = text.replace(",", ".", 1)
    if _NUMBER.fullmatch(text):
        return float(text)
    return math.nan if _NO_VALUE.fullmatch(text) else None


def parse_numbers(text: str, count: int) -> list[float]:
    """Return so many numbers, separated by spaces, semicolons or commas.

    A comma is a decimal mark if that gives `count` numbers, else a separator.

    Raises:
        ValueError: something is not a number, or there are more or fewer. The message does not repeat it.

    >>> parse_numbers("0,5 0,25", 2), parse_numbers("0,5;0,25;", 2), parse_numbers("0.5,0.25", 2)
    ([0.5, 0.25], [0.5, 0.25], [0.5, 0.25])
    >>> parse_numbers("0,5,0,25", 2), parse_numbers("0,0,0", 3)
    ([0.5, 0.25], [0.0, 0.0, 0.0])
    """
    words = [word for each in _SEPARATORS.split(text) if (word := each.rstrip(","))]
    readings = [words]
    if "," in text:
        readings.append([word for each in words for word in each.split(",") if word])
        if not _COMMA_NUMBER.sub("", text).strip(" \t;|,"):  # all commas follow each other
            readings.append(_COMMA_NUMBER.findall(text))
    for reading in readings:
        numbers = [number for word in reading if (number := parse_number(word)) is not None]
        if len(numbers) == len(reading) == count:
            return numbers
    if "," in text and "." not in text:
        raise ValueError("commas that may be decimal marks or may separate numbers")
    reading = readings[-1]
    wrong = next((place for place, word in enumerate(reading, 1) if parse_number(word) is None), None)
    raise ValueError(f"numbers: {len(reading)}" if wrong is None else f"not numbers: word {wrong} is none")


def check_range(
    value: float, limits: tuple[float, float], error: type[InvalidScan], file: str, field: str
) -> float:
    """Return the value.

    Raises:
        InvalidScan: `error`, if the value is not within the limits. It names the file and the field.
    """
    low, high = limits
    if not low <= value <= high:  # also false for NaN
        raise error(file, field, f"{value:g}", f"{low:g} to {high:g}")
    return value
