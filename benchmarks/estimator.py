"""How long the embedded estimator takes for a frame on one CPU core, in milliseconds.

    python benchmarks/estimator.py [--repeats 20] [--weights FILE]

Wanted: under 60 ms a frame. Measured is the whole of `estimate`: floor, input, network, peaks, people. The
reference of the same run is one forward pass of HRNet w32 at 256x192, without anything around it. `wall` is
the median of the time that went by, `cpu` that of the time on the core: on a busy machine only `cpu` tells.
Without weights random ones take as long, but find nobody.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from safetensors.torch import save_file
from torch import nn

from pose.bodies.evaluate import frame_of
from pose.bodies.rendering import render
from pose.depth_hrnet import MAPS, DepthHRNet
from pose.depth_input import CHANNELS
from pose.hrnet import build_hrnet
from pose.weights import embedded_path

VARIANT = "w16-small"
BATCH = 9  # frames of a scan
FIRST_SEED = 900_000


def median_ms(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median milliseconds, by the clock and on the core, once it is warm."""
    work()
    wall, cpu = [], []
    for _ in range(repeats):
        began, busy = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    return statistics.median(wall) * 1000, statistics.median(cpu) * 1000


def random_weights(folder: Path) -> Path:
    network = build_hrnet(VARIANT, in_channels=CHANNELS, out_channels=MAPS)
    nn.init.constant_(network.final_layer.bias, -4.0)  # type: ignore[arg-type]  # a Conv2d with a bias
    path = folder / "random.safetensors"
    save_file(
        dict(network.state_dict()), path, {"name": "random weights", "version": "0", "variant": VARIANT}
    )
    return path


def load(weights: Path | None) -> DepthHRNet:
    """The estimator with these weights, the package's own, or where there are none, random ones."""
    if weights is not None or embedded_path().is_file():
        return DepthHRNet(weights)
    with tempfile.TemporaryDirectory() as folder:
        return DepthHRNet(random_weights(Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20, help="the median of so many is shown")
    parser.add_argument("--weights", type=Path, help="other than the package's own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

    estimator = load(options.weights)
    scan = [frame_of(render(FIRST_SEED, "standing", frame=i), i) for i in range(BATCH)]
    found = sum(bool(people) for people in estimator.estimate(scan))
    print(f"{estimator.name} {estimator.version}: somebody found in {found} of {BATCH} frames of 240x180")

    reference = build_hrnet("w32").eval()
    picture = torch.zeros(1, 3, 256, 192)

    def forward() -> None:
        with torch.inference_mode():
            reference(picture)

    steps: tuple[tuple[str, Callable[[], object], int], ...] = (
        ("estimate, one frame", lambda: estimator.estimate(scan[:1]), 1),
        (f"estimate, {BATCH} frames at once, a frame", lambda: estimator.estimate(scan), BATCH),
        ("reference: HRNet w32, 256x192, forward", forward, 1),
    )
    print(f"{'':42}{'wall':>8}{'cpu':>8}")
    for name, work, frames in steps:
        wall, cpu = median_ms(work, options.repeats)
        print(f"{name:42}{wall / frames:8.1f}{cpu / frames:8.1f}")


if __name__ == "__main__":
    main()
