"""The lengths of a scan or a person that pages show: value and interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pose.report.texts import N_
from pose.results import Estimate, PersonResult, ScanResult

# Value and interval in metres; the interval is unknown in results of scan-result/1.
Length = tuple[float | None, Estimate | None]
LengthOf = Callable[[ScanResult | PersonResult], Length]


def body_length(measured: ScanResult | PersonResult) -> Length:
    """Return the length from eye to ankle."""
    return measured.body_length_m, measured.body_length_estimate_m


def stature(measured: ScanResult | PersonResult) -> Length:
    """Return the length from sole to crown."""
    return measured.stature_m, measured.stature_estimate_m


# In the order in which a page shows them.
LENGTHS: Final[tuple[tuple[str, LengthOf], ...]] = (
    (N_("Stature, sole to crown"), stature),
    (N_("Body length, eye to ankle"), body_length),
)


def in_centimetres(length: Length) -> tuple[float, float, float] | None:
    """Return value, low and high, the value thrice if there is no interval; None if the length is unknown."""
    value, estimate = length
    if value is None:
        return None
    low, high = (value, value) if estimate is None else (estimate.low, estimate.high)
    return 100 * value, 100 * low, 100 * high
