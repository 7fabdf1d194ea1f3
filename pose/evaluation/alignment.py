"""Measure how often a picture that does not fit its depth map is noticed: `make alignment`.

Prints a table, as Markdown: at 0.5 % false alarms, which share of changed pictures two measures notice. Ours
is `pose.geometry.alignment`. The other is the SSIM (Wang et al., "Image quality assessment", 2004) of Canny
edges of picture and depth map, whose usual limit is 0.75. The last columns are for the limits in use.

Rendered pictures are changed exactly, as they are rendered with a wider view than needed. A shifted picture
of a camera is filled up by reflection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Annotated, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose.evaluation import variants
from pose.evaluation.harness import POSTURES, Careless, progress
from pose.geometry.alignment import LIMIT, measure_alignment
from pose.geometry.view import View
from pose.scan.exif import apply_orientation
from pose.scan.orient import MIN_DIFFERENCE
from pose.synthetic.picture import render_picture
from pose.synthetic.render import Rendering, render

FALSE_ALARMS: Final = 0.005
FIRST_SEED: Final = 830_000
SSIM_LIMIT: Final = 0.75
SHIFTS: Final = (0.02, 0.05, 0.10)  # of the picture's width
ZOOMS: Final = (1.05, 1.1, 1.17, 1.25)
_PICTURE: Final = (480, 360)
_WIDER: Final = 1.5  # the view of the rendered picture, of which `_PICTURE` is the middle
_BORDER: Final = round((_WIDER - 1) / 2 * _PICTURE[0]), round((_WIDER - 1) / 2 * _PICTURE[1])
UNCHANGED: Final = "unchanged"
SAME_SHAPE: Final = {"mirrored": 2, "half turn": 3, "mirrored upside down": 4}  # EXIF orientations

RGB = NDArray[np.uint8]
Move = Callable[[float, float, float], RGB]


@dataclass
class Measured:
    """What both measures say of each kind of picture; lower is worse aligned."""

    margins: dict[str, list[float]] = field(default_factory=dict)
    ssims: dict[str, list[float]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, change: str, picture: RGB, view: View) -> None:
        """Measure a picture."""
        started = process_time()
        alignment = measure_alignment(picture, view)
        self.milliseconds.append((process_time() - started) * 1000)
        self.margins.setdefault(change, []).append(alignment.margin)
        self.scores.setdefault(change, []).append(alignment.score)
        self.ssims.setdefault(change, []).append(ssim_of_edges(picture, view.depthmap))


def ssim_of_edges(picture: RGB, depthmap: pose.DepthMap) -> float:
    """Return the SSIM of the Canny edges of a picture and of a depth map, at the depth map's size."""
    size = depthmap.width, depthmap.height
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    far = np.clip(depthmap.depth / 3 * 255, 0, 255).astype(np.uint8)
    a, b = (cv2.Canny(image, 100, 200).astype(np.float64) for image in (grey, far))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.blur(values, (7, 7)), np.float64)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return float((similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def changed(move: Move, rng: np.random.Generator) -> Iterator[tuple[str, RGB]]:
    """Yield each change's name and the changed picture.

    Args:
        move: returns the picture zoomed about its middle by the first number, then shifted by x and y, in
            widths of the picture.
        rng: draws the directions of the shifts.
    """
    plain = move(1, 0, 0)
    for share in SHIFTS:
        angle = rng.uniform(0, 2 * np.pi)
        yield f"shift {share:.0%}", move(1, share * np.cos(angle), share * np.sin(angle))
    for zoom in ZOOMS:
        yield f"zoom {zoom}", move(zoom, 0, 0)
    yield "zoom 1.25 into a corner", variants.crop80(plain)
    for name, orientation in SAME_SHAPE.items():
        yield name, apply_orientation(plain, orientation)


def move_within(wide: RGB, border: tuple[int, int]) -> Move:
    """Return the `move` of `changed` for a picture with a border of so many pixels on each side."""
    width, height = wide.shape[1] - 2 * border[0], wide.shape[0] - 2 * border[1]

    def move(zoom: float, x: float, y: float) -> RGB:
        u, v = (width - 1) / 2, (height - 1) / 2
        shift = u - zoom * (u + border[0]) + x * width, v - zoom * (v + border[1]) + y * width
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        moved = cv2.warpAffine(wide, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(moved, np.uint8)

    return move


def render_wide(rendering: Rendering, seed: int, frame: int) -> RGB:
    """Return a rendering's picture with a view that is `_WIDER` times as wide and as high."""
    fx, fy, cx, cy = rendering.scene.intrinsics
    middle = (_WIDER - 1) / 2
    wider = fx / _WIDER, fy / _WIDER, (cx + middle) / _WIDER, (cy + middle) / _WIDER
    size = _PICTURE[0] + 2 * _BORDER[0], _PICTURE[1] + 2 * _BORDER[1]
    return render_picture(replace(rendering.scene, intrinsics=wider), size, seed, frame).rgb


def measure_rendered(scans: int, *, careful: bool = True) -> Measured:
    """Measure one frame of each rendered scan, with the picture of the next frame too."""
    measured, rng = Measured(), np.random.default_rng(30)
    for number in progress(scans, "scans"):
        seed, posture, frame = FIRST_SEED + number // 2, POSTURES[number % 2], number * 5 % 8
        rendering = render(seed, posture, frame=frame, careful=careful)
        following = render(seed, posture, frame=frame + 1, careful=careful)
        view = View.of(rendering.depthmap, _PICTURE)
        move = move_within(render_wide(rendering, seed, frame), _BORDER)
        measured.add(UNCHANGED, move(1, 0, 0), view)
        for change, picture in changed(move, rng):
            measured.add(change, picture, view)
        measured.add("the next frame's", render_picture(following.scene, _PICTURE, seed, frame + 1).rgb, view)
    return measured


def measure_folders(folders: list[Path], turns: int = 8) -> Measured:
    """Measure the frames of scans as they arrive, each change in `turns` directions."""
    measured, rng = Measured(), np.random.default_rng(31)
    for folder in folders:
        frames = pose.read_scan(folder).frames
        for number, frame in enumerate(frames):
            small = cv2.resize(frame.rgb, _PICTURE, interpolation=cv2.INTER_AREA)
            color = frame.color.resized(*_PICTURE)
            view = View.of(frame.depthmap, _PICTURE, color)
            move = move_within(np.asarray(small, np.uint8), (0, 0))
            measured.add(UNCHANGED, move(1, 0, 0), view)
            for _ in range(turns):
                for change, picture in changed(move, rng):
                    measured.add(change, picture, view)
            if number + 1 < len(frames):
                following = cv2.resize(frames[number + 1].rgb, _PICTURE, interpolation=cv2.INTER_AREA)
                measured.add("the next frame's", np.asarray(following, np.uint8), view)
    return measured


def limit_for(values: list[float], false_alarms: float = FALSE_ALARMS) -> float:
    """Return the limit below which this share of the values of unchanged pictures lies.

    >>> limit_for([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    return float(np.quantile(values, false_alarms))


def table(measured: Measured, limits: tuple[float, float] | None = None) -> str:
    """Return the shares of noticed pictures as a Markdown table.

    Args:
        measured: of the pictures.
        limits: of both measures; by default those with `FALSE_ALARMS` on the unchanged pictures.
    """
    both = measured.margins, measured.ssims
    ours, other = limits or tuple(limit_for(values[UNCHANGED]) for values in both)
    columns = ((both[0], ours), (both[1], other), (both[0], LIMIT), (both[1], SSIM_LIMIT))
    heads = (f"ours < {ours:.2f}", f"SSIM < {other:.2f}", f"ours < {LIMIT:g}", f"SSIM < {SSIM_LIMIT:g}")
    lines = [f"| picture | n | {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    for change, values in measured.margins.items():
        shares = (np.mean(np.array(of[change]) < limit) for of, limit in columns)
        lines.append(f"| {change} | {len(values)} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    return "\n".join(lines)


def exif_table(measured: Measured) -> str:
    """Return as a Markdown table how often it is told rightly whether an EXIF orientation is to be applied.

    It makes no difference which of the two pictures was stored.
    """
    lines = ["| EXIF orientation | told rightly | picture withheld | told wrongly |", "| --- " * 4 + "|"]
    for name, orientation in SAME_SHAPE.items():
        better = np.array(measured.scores[UNCHANGED]) - np.array(measured.scores[name])
        shares = [(better >= MIN_DIFFERENCE).mean(), 0, (better <= -MIN_DIFFERENCE).mean()]
        shares[1] = 1 - shares[0] - shares[2]
        lines.append(f"| {orientation} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    return "\n".join(lines)


def main(
    scans: Annotated[int, typer.Option(min=10, max=2000, help="Rendered scans.")] = 400,
    careless: Careless = False,
    folder: Annotated[list[Path] | None, typer.Option(help="A scan with real pictures; repeatable.")] = None,
) -> None:
    """Measure how often a picture that does not fit its depth map is noticed."""
    rendered = measure_rendered(scans, careful=not careless)
    print(
        f"Rendered, {'careless' if careless else 'careful'}:\n\n{table(rendered)}\n\n{exif_table(rendered)}"
    )
    width, height = _PICTURE
    print(f"\n{np.median(rendered.milliseconds):.1f} ms of processor time a picture of {width}x{height}")
    limits = limit_for(rendered.margins[UNCHANGED]), limit_for(rendered.ssims[UNCHANGED])
    for each in folder or []:
        print(f"\n{each.name}, with the limits of the rendered pictures:")
        print(f"\n{table(measure_folders([each]), limits)}")


if __name__ == "__main__":
    typer.run(main)
