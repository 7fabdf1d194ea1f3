"""How well keypoints become joints: median errors on rendered scans, by posture and method.

    python benchmarks/lifting.py [--seeds 100] [--noise 0] [--joints]

The 2D keypoints are the true ones (`--noise` moves them, in centimetres at the body), so what is measured is
the lifting alone. The error of a joint is its distance in 3D from the true one; of the body's length, the
chain eye, hip, knee, ankle. Seeds begin at 900000 and belong to no training.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from pose import keypoints as kp
from pose.lifting.lift import METHODS, lift
from pose.synthetic.render import render

FIRST_SEED = 900_000
SIZES = ((240, 180), (180, 135), (640, 480))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, help="scans a posture")
    parser.add_argument("--noise", type=float, default=0.0, help="of the keypoints, sigma in cm")
    parser.add_argument("--joints", action="store_true", help="print each joint's error as well")
    options = parser.parse_args()

    print(
        f"{'posture':10}{'method':10}{'joints':>9}{'seen':>8}{'p90':>8}{'length':>9}{'bias':>8}{'observed':>10}{'ms':>8}"
    )
    for posture in ("standing", "lying"):
        errors: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
        lengths: dict[str, list[float]] = {method: [] for method in METHODS}
        observed: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
        spent = dict.fromkeys(METHODS, 0.0)
        seen: list[np.ndarray] = []
        for i in range(options.seeds):
            rendering = render(
                FIRST_SEED + i, posture, SIZES[i % 3] if i % 6 else SIZES[0], second_person=False
            )
            person, depthmap = rendering.scene.people[0], rendering.depthmap
            uv, visible = rendering.keypoints(person)
            distance = float(np.linalg.norm(person.joints.mean(axis=0) - depthmap.translation))
            pixels = options.noise / 100 * depthmap.intrinsics.fx / distance
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
                f"{spent[method] / options.seeds * 1000:8.2f}"
            )
            if options.joints:
                for joint, name in enumerate(kp.NAMES):
                    own = error[:, joint][mask[:, joint]]
                    every = np.nanmedian(error[:, joint])
                    print(f"{'':10}{name:18}{every:6.2f}{np.nanmedian(own):8.2f}{len(own):6}")
    print("cm; `seen`: visible joints only; p90: of those; length: of |error|; bias: of the error")


if __name__ == "__main__":
    main()
