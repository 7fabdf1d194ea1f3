"""How long reading takes, in milliseconds: the median of many times, on whatever runs beside it.

    python benchmarks/reading.py [FILE.depth] [--repeats 200]

Wanted: under 5 ms for a 240x180 file; the system that this one re-creates takes 106 ms. Without a file one is
made that is as hard to inflate as a real one: a slanted floor with a sensor's noise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.scan.calibration import Calibration
from pose.scan.depth_file import parse_depth, write_depth

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
CALIBRATION = Calibration(PHONE, PHONE)
UPRIGHT = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])


def made(width: int, height: int) -> bytes:
    """A `.depth` file of this size."""
    rng = np.random.default_rng(0)
    depth = 1 + np.linspace(0, 1, width) + 0.003 * rng.standard_normal((height, width))
    confidence = rng.integers(0, 8, (height, width)) / 7
    camera = CALIBRATION.depth_intrinsics(width, height)
    known = DepthMap(
        depth.astype(np.float32), confidence.astype(np.float32), camera, UPRIGHT, np.ones(3), True
    )
    return write_depth(known)


def median_ms(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, help="a .depth file; without it some are made")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    if options.file is None:
        files = [made(*size) for size in ((240, 180), (180, 135), (640, 480))]
    else:
        files = [options.file.read_bytes()]
    print(f"{'size':>9}{'read':>8}{'points':>8}{'floor':>8}{'to 640x480':>12}")
    for data in files:
        depthmap = parse_depth(data, CALIBRATION)
        steps: tuple[Callable[[], object], ...] = (
            lambda data=data: parse_depth(data, CALIBRATION),  # type: ignore[misc]
            depthmap.points,
            lambda depthmap=depthmap: floor_height(depthmap),  # type: ignore[misc]
            lambda depthmap=depthmap: depthmap.resized(640, 480),  # type: ignore[misc]
        )
        read, points, floor, resized = (median_ms(step, options.repeats) for step in steps)
        size = f"{depthmap.width}x{depthmap.height}"
        print(f"{size:>9}{read:8.2f}{points:8.2f}{floor:8.2f}{resized:12.2f}")


if __name__ == "__main__":
    main()
