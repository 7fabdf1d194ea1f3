"""How long each step takes for one frame, on one CPU core. `make bench`, or with another device:
`make bench ARGS="--device cuda"`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

import pose
from pose.bodies import write_scan
from pose.calibration import parse_calibration
from pose.depthmap import parse_depth


def main(
    model: Annotated[str, typer.Option(help="The estimator.")] = "depth-hrnet",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Of torch, on the CPU.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="The median of so many is shown.")] = 20,
) -> None:
    """Measure the steps of an analysis on a rendered scan of nine frames."""
    torch.set_num_threads(threads)
    estimator = pose.load_estimator(model, device=device)
    with tempfile.TemporaryDirectory() as parent:
        folder = write_scan(Path(parent) / "scan", seed=1, posture="standing")
        calibration = parse_calibration((folder / "camera_calibration.txt").read_bytes())
        data = sorted((folder / "depth").iterdir())[0].read_bytes()
        depthmap = parse_depth(data, calibration)
        scan = pose.read_scan(folder)
        frames = len(scan.frames)
        frame = scan.frames[0]
        (people,) = estimator.estimate([frame])
        size = frame.rgb.shape[1], frame.rgb.shape[0]
        person = people[0]

        height, width = depthmap.depth.shape
        steps: list[tuple[str, Callable[[], object], int]] = [
            (f"read a {width}x{height} depth file", lambda: parse_depth(data, calibration), 1),
            ("its world points", depthmap.points, 1),
            ("read a scan, a frame", lambda: pose.read_scan(folder), frames),
            ("find people, one frame at a time", lambda: estimator.estimate([frame]), 1),
            (
                f"find people, {frames} frames at once, a frame",
                lambda: estimator.estimate(scan.frames),
                frames,
            ),
            ("lift to 3D", lambda: pose.lift(frame.depthmap, person.keypoints, person.scores, size), 1),
            ("make faces unrecognisable", lambda: pose.anonymise(frame.rgb, people, frame.depthmap), 1),
            ("all of an analysis, a frame", lambda: pose.analyse_scan(scan, estimator), frames),
        ]
        table = Table(title=f"{model} on {device}, {threads} thread(s), median of {repeats}")
        table.add_column("step")
        table.add_column("ms", justify="right")
        for name, step, count in steps:
            table.add_row(name, f"{1000 * median_s(step, repeats) / count:.1f}")
    Console().print(table)


def median_s(step: Callable[[], object], repeats: int) -> float:
    """Seconds that a step takes once it is warm. What a GPU still does is waited for."""
    step()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    typer.run(main)
