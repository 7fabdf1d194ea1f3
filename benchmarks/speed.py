"""Measure the time of each step for one frame, by default on one CPU core: `make bench`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import pose
from pose.detectors import build_detector
from pose.estimators.detector import Detector
from pose.estimators.loading import choose_device
from pose.estimators.topdown import TopDown
from pose.geometry.orientation import turn_picture, turns_for_step
from pose.hrnet import build_hrnet
from pose.scan.calibration import parse_calibration
from pose.scan.depth_file import parse_depth
from pose.synthetic.scan_writer import write_scan
from pose.weights.registry import DETECTORS, POSE_MODELS, first_published


def main(
    model: Annotated[str, typer.Option(help="The estimator.")] = "depth-hrnet",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch on the CPU.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Show the median of so many runs.")] = 20,
    rgb_repeats: Annotated[int, typer.Option(min=0, help="The same for RGB models; 0: none.")] = 3,
) -> None:
    """Measure the steps of an analysis on a rendered scan of nine frames."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    device = choose_device(device)
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
            (
                "redact faces",  # with the known orientation, as in an analysis
                lambda: pose.anonymise(frame.rgb, people, frame.depthmap, turns=turns_for_step(frame.step)),
                1,
            ),
            ("all of an analysis, a frame", lambda: pose.analyse_scan(scan, estimator), frames),
            ("for comparison: HRNet w32 at 256x192, forward", _reference(device), 1),
        ]
        table = Table(title=f"{model} on {device}, {threads} thread(s), median of {repeats}")
        table.add_column("step")
        table.add_column("ms", justify="right")
        table.add_column("CPU ms", justify="right")  # the one to compare on a busy machine
        for name, step, count in steps:
            wall, cpu = median_ms(step, repeats)
            table.add_row(name, f"{wall / count:.1f}", f"{cpu / count:.1f}")
    Console().print(table)
    if rgb_repeats:
        Console().print(rgb_table(frame.rgb, device, threads, rgb_repeats))


def rgb_table(picture: NDArray[np.uint8], device: str, threads: int, repeats: int) -> Table:
    """Return times of the detectors on a whole picture, and of each HRNet on one person, with random weights.

    The time of a network does not depend on its weights, that of a detector's post-processing does a little.
    """
    upright = np.ascontiguousarray(turn_picture(picture, 1))
    height, width = upright.shape[:2]
    box = np.array([[0.2 * width, 0.1 * height, 0.8 * width, 0.9 * height]])
    table = Table(title=f"RGB models on {device}, {threads} thread(s), {width}x{height}, median of {repeats}")
    table.add_column("step")
    table.add_column("ms", justify="right")
    table.add_column("CPU ms", justify="right")

    def add(name: str, step: Callable[[], object]) -> None:
        wall, cpu = median_ms(step, repeats)
        table.add_row(name, f"{wall:.0f}", f"{cpu:.0f}")

    for name in DETECTORS:
        detector = Detector(build_detector(name).state_dict(), name, device)
        add(f"{name}, a picture", partial(detector.detect, [upright]))
    for name in POSE_MODELS:
        for flip_test in (False, True):
            published = first_published(name)
            assert published.width and published.input_size
            weights = build_hrnet(f"w{published.width}").state_dict()
            model = TopDown(weights, published.width, published.input_size, device, flip_test)
            label = f"{name}{' with flip test' if flip_test else ''}, a person"
            add(label, partial(model.predict, [upright], [box]))
    return table


def _reference(device: str) -> Callable[[], object]:
    """Return a forward pass of HRNet w32, the usual reference for 2D pose estimation."""
    network = build_hrnet("w32").eval().to(device)
    picture = torch.zeros(1, 3, 256, 192, device=device)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            heatmaps: torch.Tensor = network(picture)
            return heatmaps

    return forward


def median_ms(step: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return median wall-clock and CPU milliseconds of a step after a warm-up; wait for the GPU to finish."""
    step()
    wall, cpu = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - busy))
    return statistics.median(wall), statistics.median(cpu)


if __name__ == "__main__":
    typer.run(main)
