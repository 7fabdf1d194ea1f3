"""Numbers in the text files of a scan."""

from __future__ import annotations

import re

from pose.errors import InvalidScan

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def is_number(text: str) -> bool:
    """Return whether a text is a decimal number. "nan", "inf", "0x1" and "1_0" are none.

    >>> is_number("-6.7e-1"), is_number("nan")
    (True, False)
    """
    return _NUMBER.fullmatch(text) is not None


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
