"""Training samples of the depth network: input, keypoints, and their weights in the loss."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose import keypoints as kp
from pose.estimators.depth_hrnet import HEAD_MAP, MAPS
from pose.estimators.depth_input import INPUT_SIZE, STRIDE, network_input, picture_to_input
from pose.estimators.heatmap import pixels_to_cells
from pose.geometry.orientation import turns_for_step
from pose.synthetic.dressing import HEAD_PARTS
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render

MAX_PEOPLE: Final = 2  # in one rendering
_SEEN_HEAD: Final = 12  # pixels of the depth map
HIDDEN_WEIGHT: Final = 0.4  # hidden joints can only be guessed, so they count less

Sample = dict[str, Tensor]


def training_sample(index: int) -> Sample:
    """Return sample `index` (from 0) of the training set. The same index gives the same bytes."""
    seed = FIRST_TRAINING_SEED + index
    rng = np.random.default_rng([seed, 9])
    # Lying children are harder: they have more poses and stand out less from the floor.
    posture = str(rng.choice(["standing", "lying", "empty"], p=[0.43, 0.47, 0.10]))
    size = (240, 180) if rng.random() < 0.7 else (180, 135)
    # Most renderings are careless: real scans do not always follow the guidelines.
    frame, careful, varied = int(rng.integers(0, 9)), bool(rng.random() < 0.35), bool(rng.random() < 0.6)
    rendering = render(seed, posture, size, frame=frame, careful=careful, varied=varied)
    return to_sample(rendering, _sample_floor(rng))


def _sample_floor(rng: np.random.Generator) -> float | None:
    """Return a floor height as `floor_height` may find it: the true one is 0. None for no floor."""
    draw = rng.random()
    if draw < 0.10:
        return None
    return float(rng.normal(0, 0.12 if draw < 0.16 else 0.012))


def to_sample(rendering: Rendering, floor: float | None) -> Sample:
    """Return the tensors of a rendering.

    Args:
        floor: y of the floor in the scene, as `floor_height` may find it; None for no floor.

    Returns:
        `input` (3, 224, 192) float16; `centres` (P, 19, 2) float32 in cells of the heatmaps (column, row),
        the child first; `present` (P, 19) bool; `weight` (19,) float32. P is `MAX_PEOPLE`.
    """
    turns = turns_for_step(rendering.scene.step)
    centres = np.zeros((MAX_PEOPLE, MAPS, 2))
    present = np.zeros((MAX_PEOPLE, MAPS), np.bool_)
    weight = np.ones(MAPS)
    for number, person in enumerate(rendering.scene.people[:MAX_PEOPLE]):
        points, visible = _keypoints(rendering, person)
        size = rendering.depthmap.width, rendering.depthmap.height
        pixels = picture_to_input(points, turns, *size)
        inside = ((pixels > -0.5) & (pixels < (INPUT_SIZE[1] - 0.5, INPUT_SIZE[0] - 0.5))).all(axis=1)
        centres[number] = pixels_to_cells(pixels, STRIDE)
        present[number] = inside & (number == 0 or visible.sum() >= 3)
        if number:  # a second person's head counts if enough of it is seen
            seen = _head_pixels(rendering, person) >= _SEEN_HEAD
            present[number, HEAD_MAP] = bool(np.asarray(inside)[HEAD_MAP]) and seen
        else:
            weight = np.where(visible | ~inside, 1.0, HIDDEN_WEIGHT)
    return {
        "input": torch.from_numpy(network_input(rendering.depthmap, turns, floor)).half(),
        "centres": torch.from_numpy(centres).float(),
        "present": torch.from_numpy(present),
        "weight": torch.from_numpy(weight).float(),
    }


def _head_pixels(rendering: Rendering, person: SyntheticPerson) -> int:
    shapes, hits = rendering.scene.shapes, rendering.hits
    return int((hits.part_mask(shapes, *HEAD_PARTS) & hits.owner_mask(shapes, person.owner)).sum())


def _keypoints(
    rendering: Rendering, person: SyntheticPerson
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (19, 2) pixels of the depth map, the 17 keypoints first, and (19,) bool which are visible."""
    uv, visible = rendering.keypoints(person)
    middles = np.stack([person.joints[list(kp.TORSO)].mean(axis=0), person.head[1]])
    extra, depth = rendering.scene.camera.project(middles)
    in_front = (depth > 0.05)[:, None]
    uv = np.concatenate([uv, np.where(in_front, extra, -1e4)])
    return uv, np.concatenate([visible, [visible[list(kp.TORSO)].any(), visible[list(kp.HEAD)].any()]])
