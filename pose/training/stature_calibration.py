"""Set the intervals of the stature on rendered scans that were not learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track

from pose.estimators.loading import load_estimator
from pose.scan.frame import Frame
from pose.stature.combine import Calibration, Calibrations, robust_mean
from pose.stature.estimate import FrameStature, frame_stature
from pose.stature.network import StatureNetwork
from pose.stature.weights import StatureModel
from pose.synthetic.render import FIRST_TRAINING_SEED, render

FIRST_SEED: Final = 9 * FIRST_TRAINING_SEED
FRAMES: Final = 9
COVERED: Final = 0.96  # of the scans: a little more than 95 %, as few scans measure it
_SHARES: Final = np.linspace(0.1, 0.9, 17)
_COUNTS: Final = (1, 3, 9)
_LEAST: Final = (
    0.1  # so that an interval has a width, also if the unseen part above the head holds all errors
)
_PICTURE: Final = (180, 240, 3)
_UNSET: Final = Calibrations(Calibration(3.0, 0.5), Calibration(3.0, 0.5))

Scan = tuple[float, list[FrameStature]]  # true stature, and the frames that tell one


def calibrate(network: StatureNetwork, scans: int, console: Console) -> Calibrations:
    """Return the calibrations for a network, from so many rendered scans of both postures.

    The keypoints are those of the depth network in the package.
    """
    model = StatureModel(network, _UNSET, "none")
    found: dict[str, list[Scan]] = {"standing": [], "lying": []}
    estimator = load_estimator("depth-hrnet", device="cpu")
    for number in track(range(scans), "scans", console=console):
        posture = ("standing", "lying")[number % 2]
        careful, varied = number % 4 < 2, number % 8 >= 6
        renderings = [
            render(
                FIRST_SEED + number, posture, frame=order, careful=careful, second_person=False, varied=varied
            )
            for order in range(FRAMES)
        ]
        stature = renderings[0].scene.people[0].measures.stature
        frames = [
            Frame(order, each.scene.step, np.zeros(_PICTURE, np.uint8), each.depthmap)
            for order, each in enumerate(renderings)
        ]
        told = [
            frame_stature(frame.view, people[0].keypoints, people[0].scores, frame.floor, model)
            for frame, people in zip(frames, estimator.estimate(frames), strict=True)
            if len(people) == 1
        ]
        right = [each for each in told if each is not None and each.lying == (posture == "lying")]
        if stature < 1.35 and right:
            found[posture].append((stature, right))
    result = Calibrations(*(fit_calibration(found[posture]) for posture in ("standing", "lying")))
    console.print(f"{result}")
    return result


def fit_calibration(scans: Sequence[Scan]) -> Calibration:
    """Return the calibration whose intervals hold the true stature about as often for 1, 3 and 9 frames."""
    best, least = Calibration(3.0, 0.5), np.inf
    for shared in _SHARES:
        ratios = []
        for count in _COUNTS:
            ratio = []
            for stature, frames in scans:
                some = frames[:: max(len(frames) // count, 1)][:count]
                scales = np.array([each.scale for each in some])
                value, weights = robust_mean(np.array([each.stature for each in some]), scales)
                unit = Calibration(1.0, float(shared)).half_width(scales, weights)
                unseen = np.average([each.unseen for each in some], weights=weights)
                ratio.append(max(stature - value, value - unseen - stature) / unit)
            ratios.append(max(float(np.quantile(ratio, COVERED)), _LEAST))
        if (uneven := max(ratios) / min(ratios)) < least:
            best, least = Calibration(round(float(np.mean(ratios)), 3), round(float(shared), 3)), uneven
    return best
