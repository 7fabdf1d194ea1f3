"""Renderings as the depth network's lessons: inputs, keypoints, and how much each counts."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose import keypoints as kp
from pose.estimators.depth_hrnet import MAPS
from pose.estimators.depth_input import INPUT_SIZE, STRIDE, network_input, picture_to_input
from pose.estimators.heatmap import pixels_to_cells
from pose.geometry.orientation import turns_for_step
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render

PEOPLE: Final = 2  # at most, in a rendering
HIDDEN_WEIGHT: Final = 0.4  # a joint that is not seen must be guessed, and counts less

Sample = dict[str, Tensor]


def training_sample(index: int) -> Sample:
    """The rendering number `index` of the training set, from 0. The same number gives the same bytes."""
    seed = FIRST_TRAINING_SEED + index
    rng = np.random.default_rng([seed, 9])
    # Lying children are harder: more poses, less that stands out from the floor.
    posture = str(rng.choice(["standing", "lying", "empty"], p=[0.32, 0.58, 0.10]))
    size = (240, 180) if rng.random() < 0.7 else (180, 135)
    # Far more kinds of view and sensor than a careful scan has: what comes may have either.
    rendering = render(seed, posture, size, frame=int(rng.integers(0, 9)), careful=bool(rng.random() < 0.35))
    return to_sample(rendering, _noisy_floor(rng))


def _noisy_floor(rng: np.random.Generator) -> float | None:
    """The floor as it will be found: nearly right, at times wrong, at times not at all (true height 0)."""
    draw = rng.random()
    if draw < 0.10:
        return None
    return float(rng.normal(0, 0.12 if draw < 0.16 else 0.012))


def to_sample(rendering: Rendering, floor: float | None) -> Sample:
    """A rendering's tensors.

    Args:
        floor: world y of the floor, as it would be found; None where it would not.

    Returns:
        `input` (3, 224, 192) float16; `centres` (P, 19, 2) float32 in cells, (column, row), the child's
        first; `present` (P, 19) bool; `weight` (19,) float32. P is `PEOPLE`.
    """
    turns = turns_for_step(rendering.scene.step)
    centres = np.zeros((PEOPLE, MAPS, 2))
    present = np.zeros((PEOPLE, MAPS), np.bool_)
    weight = np.ones(MAPS)
    for number, person in enumerate(rendering.scene.people[:PEOPLE]):
        points, seen = _points(rendering, person)
        size = rendering.depthmap.width, rendering.depthmap.height
        pixels = picture_to_input(points, turns, *size)
        inside = ((pixels > -0.5) & (pixels < (INPUT_SIZE[1] - 0.5, INPUT_SIZE[0] - 0.5))).all(axis=1)
        centres[number] = pixels_to_cells(pixels, STRIDE)
        # Somebody of whom next to nothing is seen is not there.
        present[number] = inside & (seen.sum() >= 3 if number else True)
        if number == 0:
            weight = np.where(seen | ~inside, 1.0, HIDDEN_WEIGHT)
    return {
        "input": torch.from_numpy(network_input(rendering.depthmap, turns, floor)).half(),
        "centres": torch.from_numpy(centres).float(),
        "present": torch.from_numpy(present),
        "weight": torch.from_numpy(weight).float(),
    }


def _points(rendering: Rendering, person: SyntheticPerson) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(19, 2) pixels of the depth map, and (19,) which are seen."""
    uv, seen = rendering.keypoints(person)
    middles = np.stack([person.joints[list(kp.TORSO)].mean(axis=0), person.head[1]])
    extra, depth = rendering.scene.camera.project(middles)
    in_front = (depth > 0.05)[:, None]
    uv = np.concatenate([uv, np.where(in_front, extra, -1e4)])
    return uv, np.concatenate([seen, [seen[list(kp.TORSO)].any(), seen[list(kp.HEAD)].any()]])
