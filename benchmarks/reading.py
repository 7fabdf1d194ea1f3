"""Measure the median time to read a depth map, in ms: `python benchmarks/reading.py [FILE.depth]`.

The goal is less than 5 ms for a 240x180 file; the system that this one replaces takes 106 ms. Without a file,
the benchmark makes some that are as hard to decompress as real ones: a slanted floor with sensor noise.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.scan.calibration import Calibration
from pose.scan.depth_file import parse_depth, write_depth

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
CALIBRATION = Calibration(PHONE, PHONE)
UPRIGHT = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])


def make_depth_file(width: int, height: int) -> bytes:
    """Return a `.depth` file of this size."""
    rng = np.random.default_rng(0)
    depth = 1 + np.linspace(0, 1, width) + 0.003 * rng.standard_normal((height, width))
    confidence = rng.integers(0, 8, (height, width)) / 7
    camera = CALIBRATION.depth_intrinsics(width, height)
    known = DepthMap(
        depth.astype(np.float32), confidence.astype(np.float32), camera, UPRIGHT, np.ones(3), True
    )
    return write_depth(known)


def median_ms(work: Callable[[], object], repeats: int) -> float:
    return statistics.median(timeit.repeat(work, number=1, repeat=repeats)) * 1000


def main(
    file: Annotated[Path | None, typer.Argument(help="A .depth file; without it some are made.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measure each step so many times.")] = 200,
) -> None:
    """Measure the time to read a depth map and to compute its points, its floor and a larger map."""
    if file is None:
        files = [make_depth_file(*size) for size in ((240, 180), (180, 135), (640, 480))]
    else:
        files = [file.read_bytes()]
    print(f"{'size':>9}{'read':>8}{'points':>8}{'floor':>8}{'to 640x480':>12}")
    for data in files:
        depthmap = parse_depth(data, CALIBRATION)
        steps: tuple[Callable[[], object], ...] = (
            lambda data=data: parse_depth(data, CALIBRATION),  # type: ignore[misc]
            depthmap.points,
            lambda depthmap=depthmap: floor_height(depthmap),  # type: ignore[misc]
            lambda depthmap=depthmap: depthmap.resized(640, 480),  # type: ignore[misc]
        )
        read, points, floor, resized = (median_ms(step, repeats) for step in steps)
        size = f"{depthmap.width}x{depthmap.height}"
        print(f"{size:>9}{read:8.2f}{points:8.2f}{floor:8.2f}{resized:12.2f}")


if __name__ == "__main__":
    typer.run(main)
