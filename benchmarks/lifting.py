"""Measure the lifting from 2D to 3D: median errors on rendered scans, by posture and method.

    python benchmarks/lifting.py [--seeds 100] [--noise 0] [--joints]

It starts from the true 2D keypoints, optionally with noise, so it measures the lifting alone. The error of a
joint is its 3D distance from the true one. The body length is that of the chain eye, hip, knee, ankle. Seeds
start at 900000 and are held out from training.
"""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from pose import keypoints as kp
from pose.lifting.lift import METHODS, lift
from pose.synthetic.render import render

FIRST_SEED = 900_000
SIZES = ((240, 180), (180, 135), (640, 480))


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Scans of each posture.")] = 100,
    noise: Annotated[float, typer.Option(help="Noise of the keypoints: sigma in cm at the body.")] = 0.0,
    joints: Annotated[bool, typer.Option("--joints", help="Print the error of each joint as well.")] = False,
) -> None:
    """Measure the errors of joints and body length on rendered scans."""
    print(
        f"{'posture':10}{'method':10}{'joints':>9}{'seen':>8}{'p90':>8}{'length':>9}{'bias':>8}{'observed':>10}{'ms':>8}"
    )
    for posture in ("standing", "lying"):
        errors: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
        lengths: dict[str, list[float]] = {method: [] for method in METHODS}
        observed: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
        spent = dict.fromkeys(METHODS, 0.0)
        seen: list[np.ndarray] = []
        for i in range(seeds):
            rendering = render(
                FIRST_SEED + i, posture, SIZES[i % 3] if i % 6 else SIZES[0], second_person=False
            )
            person, depthmap = rendering.scene.people[0], rendering.depthmap
            uv, visible = rendering.keypoints(person)
            distance = float(np.linalg.norm(person.joints.mean(axis=0) - depthmap.translation))
            pixels = noise / 100 * depthmap.intrinsics.fx / distance
            uv = uv + np.random.default_rng(i).normal(0, pixels, uv.shape)
            seen.append(visible)
            for method in METHODS:
                started = time.perf_counter()
                skeleton = lift(
                    depthmap, uv, np.ones(kp.COUNT), (depthmap.width, depthmap.height), method, floor=0.0
                )
                spent[method] += time.perf_counter() - started
                errors[method].append(np.linalg.norm(skeleton.joints - person.joints, axis=1) * 100)
                lengths[method].append((skeleton.reliable_length - person.length) * 100)
                observed[method].append(skeleton.observed)
        mask = np.array(seen)
        for method in METHODS:
            error = np.array(errors[method])
            length = np.array(lengths[method])
            print(
                f"{posture:10}{method:10}{np.nanmedian(error):9.2f}{np.nanmedian(error[mask]):8.2f}"
                f"{np.nanquantile(error[mask], 0.9):8.2f}{np.nanmedian(np.abs(length)):9.2f}"
                f"{np.nanmedian(length):8.2f}{np.mean(observed[method]):10.3f}"
                f"{spent[method] / seeds * 1000:8.2f}"
            )
            if joints:
                for joint, name in enumerate(kp.NAMES):
                    own = error[:, joint][mask[:, joint]]
                    every = np.nanmedian(error[:, joint])
                    print(f"{'':10}{name:18}{every:6.2f}{np.nanmedian(own):8.2f}{len(own):6}")
    print("cm; seen: visible joints; p90: their 90th percentile; length: absolute error; bias: signed error")


if __name__ == "__main__":
    typer.run(main)
