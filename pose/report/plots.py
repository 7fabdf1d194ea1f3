"""The frames' figures as small plots: where each mark stands. The template draws them as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pose.report.lengths import LENGTHS, LengthOf, in_centimetres
from pose.report.texts import N_
from pose.results import Estimate, FrameResult, ScanResult

WIDTH: Final = 320
HEIGHT: Final = 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 24  # margins, for the axes' numbers
_MARGIN: Final = 0.12  # of the range of the values, above and below


@dataclass(frozen=True)
class Value:
    """A frame's figure, in the unit of its plot. `low` and `high` are its 95 % interval, or the value."""

    order: int
    value: float
    low: float
    high: float
    used: bool


@dataclass(frozen=True)
class Figure:
    """A figure of the frames: its title, unit, decimals, values, and the interval of the scan."""

    title: str
    unit: str
    digits: int
    values: dict[int, Value]
    scan: Estimate | None = None

    def text(self, order: int) -> str:
        """Return the value of a frame with its interval, as a text without a unit; empty if unknown."""
        found = self.values.get(order)
        if found is None:
            return ""
        text = f"{found.value:.{self.digits}f}"
        if found.low == found.high:
            return text
        return f"{text} ({found.low:.{self.digits}f} – {found.high:.{self.digits}f})"


@dataclass(frozen=True)
class Mark:
    """A frame's figure in a plot: its column, and the rows of value, low and high."""

    x: float
    y: float
    y_low: float
    y_high: float
    used: bool


@dataclass(frozen=True)
class Plot:
    """A plot of `WIDTH` x `HEIGHT`, y down. `band` is the rows of the scan's interval."""

    figure: Figure
    marks: tuple[Mark, ...]
    rows: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, str], ...]
    band: tuple[float, float] | None


# Title, unit, factor to that unit, decimals, how a frame's value is found.
_SINGLE: Final[tuple[tuple[str, str, float, int, Callable[[FrameResult], float | None]], ...]] = (
    (N_("Top of the head above the floor"), "cm", 100, 1, lambda frame: frame.head_height_m),
    (N_("Distance to the child"), "m", 1, 2, lambda frame: frame.child_distance_m),
    (N_("Camera above the horizontal"), "°", 1, 1, lambda frame: frame.camera_angle_deg),
    (N_("Depth map without measurement"), "%", 100, 1, lambda frame: frame.missing_depth),
    (N_("Mean score of the joints"), "%", 100, 0, lambda frame: _score(frame)),
    (N_("Weight of the frame"), "%", 100, 0, lambda frame: frame.weight),
)  # fmt: skip


def frame_figures(result: ScanResult) -> list[Figure]:
    """Return the figures that at least one frame has."""
    figures = [_lengths(result, title, length_of) for title, length_of in LENGTHS]
    for title, unit, factor, digits, value_of in _SINGLE:
        values = {}
        for frame in result.frames:
            if (value := value_of(frame)) is not None:
                scaled = factor * value
                values[frame.order] = Value(frame.order, scaled, scaled, scaled, frame.weight > 0)
        figures.append(Figure(title, unit, digits, values))
    return [figure for figure in figures if figure.values]


def _score(frame: FrameResult) -> float | None:
    return frame.people[0].score if len(frame.people) == 1 else None


def _lengths(result: ScanResult, title: str, length_of: LengthOf) -> Figure:
    values = {}
    for frame in result.frames:
        length = in_centimetres(length_of(frame.people[0])) if len(frame.people) == 1 else None
        if length is not None:
            values[frame.order] = Value(frame.order, *length, frame.weight > 0)
    return Figure(title, "cm", 1, values, length_of(result)[1])


def plot_of(figure: Figure, orders: Sequence[int]) -> Plot:
    """Place the values of a figure, one column for each frame."""
    ends = [end for each in figure.values.values() for end in (each.low, each.high)]
    if figure.scan is not None:
        ends += [100 * figure.scan.low, 100 * figure.scan.high]
    lowest, highest = min(ends), max(ends)
    margin = _MARGIN * (highest - lowest) or max(abs(highest) * _MARGIN, 10.0**-figure.digits)
    bottom, top = lowest - margin, highest + margin

    def row(value: float) -> float:
        share = (value - bottom) / (top - bottom)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    step = (WIDTH - _LEFT - _RIGHT) / len(orders)
    columns = {order: round(_LEFT + (number + 0.5) * step, 1) for number, order in enumerate(orders)}
    marks = tuple(
        Mark(columns[each.order], row(each.value), row(each.low), row(each.high), each.used)
        for each in figure.values.values()
    )
    shown = range(0, len(orders), max(1, -(-len(orders) // 12)))
    middle = (lowest + highest) / 2
    levels = (lowest, middle, highest) if highest > lowest else (lowest,)
    return Plot(
        figure,
        marks,
        tuple((row(level), f"{level:.{figure.digits}f}") for level in levels),
        tuple((columns[orders[number]], str(orders[number])) for number in shown),
        None if figure.scan is None else (row(100 * figure.scan.high), row(100 * figure.scan.low)),
    )
