"""Training samples of the stature network: rendered children with keypoints that are a little wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.geometry.view import View
from pose.lifting.lift import lift_in_view
from pose.lifting.skeleton import Skeleton
from pose.stature.body import BodyView
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render
from pose.synthetic.sensor import simulate_sensor

MAX_STATURE: Final = 1.35  # metres: taller people are adults
FIRST_SEED: Final = 10 * FIRST_TRAINING_SEED  # not those of the depth network, which knows its own by heart

# Errors of keypoints in torso lengths: those of the depth network on renderings, and its biases on real scans
# (eyes and knees too low), widened, so that other models do as well.
_SHOWN, _HIDDEN = 0.026, 0.065
_ARMS: Final = list(range(kp.LEFT_ELBOW, kp.RIGHT_WRIST + 1))
_BIASES: Final = (
    (list(kp.HEAD), 0.05),
    ([13, 14], 0.05),
    ([15, 16], 0.025),
    ([5, 6], 0.02),
    ([11, 12], 0.02),
)
_JOINT_NOISE: Final = 0.006  # metres, of the lifting

# Renderings lose hair in half of the scans; the depth maps of real phones that could be had show it.
_HAIR_RETURNS: Final = 0.6  # share of the samples in which hair returns as much light as skin
# A phone whose light source is far from the lens: a nearer surface hides a strip of what is behind it.
_SHADOWED: Final = 0.35  # share of the samples
_MAX_SHADOW: Final = 0.06  # of the width of the depth map
_STEP: Final = 0.1  # metres, from a surface to the one that it hides
_NOTHING: Final = 99.0  # metres, in place of no measurement


@dataclass(frozen=True, eq=False)
class StatureSamples:
    """Samples (N, …) for the network, and what is true.

    Attributes:
        head, body, features: the inputs of `StatureNetwork`, float16 and float32.
        lengths: (N, 2) float32 metres: crop's centre to crown, and from `BodyView.rest` to the stature.
        facts: (N, 4) float32: the seed's number, careful, lying, stature.
    """

    head: NDArray[np.float16]
    body: NDArray[np.float16]
    features: NDArray[np.float32]
    lengths: NDArray[np.float32]
    facts: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: list[StatureSamples]) -> StatureSamples:
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


def stature_sample(index: int) -> StatureSamples | None:
    """Return sample `index` (from 0), the same for the same index; None if too little of a child shows."""
    seed = FIRST_SEED + index
    rng = np.random.default_rng([seed, 21])
    lying = bool(rng.random() < 0.55)
    size = (240, 180) if rng.random() < 0.7 else (180, 135)
    careful = bool(rng.random() < 0.65)
    rendering = render(
        seed,
        "lying" if lying else "standing",
        size,
        frame=int(rng.integers(9)),
        careful=careful,
        second_person=None if rng.random() < 0.2 else False,
        varied=bool(rng.random() < 0.5),
    )
    person = rendering.scene.people[0]
    if person.measures.stature > MAX_STATURE:
        return None
    rendering = as_real_phones(rendering, careful, rng)
    body = disturbed_body(rendering, person, lying, rng)
    if body is None:
        return None
    crown = crown_along(person, body.along)
    _, middle, _ = person.head
    wide = 0.07 if rng.random() < 0.2 else 0.025
    start = (
        middle + (crown - middle @ body.along + rng.normal(0, wide)) * body.along + rng.normal(0, 0.012, 3)
    )
    centre = body.on_surface(start)
    inputs = None if centre is None else body.inputs(centre)
    if centre is None or inputs is None:
        return None
    head, whole, features = inputs
    stature = person.measures.stature
    lengths = (crown - centre @ body.along, stature - body.rest(centre))
    if not (np.isfinite(features).all() and abs(lengths[0]) < 0.3 and abs(lengths[1]) < 1.0):
        return None
    return StatureSamples(
        head[None].astype(np.float16),
        whole[None].astype(np.float16),
        features[None],
        np.array([lengths], np.float32),
        np.array([[index, careful, lying, stature]], np.float32),
    )


def as_real_phones(rendering: Rendering, careful: bool, rng: np.random.Generator) -> Rendering:
    """Return a rendering whose hair returns light more often, and with shadows at edges of depth."""
    depthmap = rendering.depthmap
    if rng.random() < _HAIR_RETURNS:
        shapes = [
            replace(each, part="head") if each.part == "hair" else each for each in rendering.scene.shapes
        ]
        seed = int(rng.integers(2**32))
        depth, confidence = simulate_sensor(
            rendering.hits,
            shapes,
            np.random.default_rng([seed, 1]),
            np.random.default_rng([seed, 2]),
            careful=careful,
        )
        depthmap = replace(depthmap, depth=depth, confidence=confidence)
    if rng.random() < _SHADOWED:
        depthmap = shadowed(
            depthmap, int(rng.integers(1, round(_MAX_SHADOW * depthmap.width))), int(rng.integers(4))
        )
    return replace(rendering, depthmap=depthmap)


def shadowed(depthmap: DepthMap, pixels: int, turns: int) -> DepthMap:
    """Return a depth map without what lies within `pixels` of a nearer surface.

    Args:
        turns: 0 loses pixels to the right of the nearer surface; 1 to 3 are quarter turns from there.
    """
    depth = np.rot90(depthmap.depth, turns)
    filled = np.where(depth > 0, depth, _NOTHING).astype(np.float32)
    window = np.ones((1, pixels + 1), np.uint8)
    nearest = cv2.erode(filled, window, anchor=(pixels, 0), borderValue=_NOTHING)
    kept = np.where(filled - nearest > _STEP, 0, depth).astype(np.float32)
    return replace(depthmap, depth=np.ascontiguousarray(np.rot90(kept, -turns)))


def crown_along(person: SyntheticPerson, along: NDArray[np.float64]) -> float:
    """Return how far the skull reaches along a direction (3,): the crown, without hair."""
    frame, middle, radii = person.head
    return float(middle @ along + np.linalg.norm(frame.T @ along * radii))


def disturbed_body(
    rendering: Rendering, person: SyntheticPerson, lying: bool, rng: np.random.Generator
) -> BodyView | None:
    """Return the body that keypoints with random errors give; None if they give none."""
    true, visible = rendering.keypoints(person)
    corners = true[list(kp.TORSO)]
    up = corners[:2].mean(0) - corners[2:].mean(0)
    torso = float(np.linalg.norm(up))
    if torso < 5 or not np.isfinite(true).all():
        return None
    up /= torso
    size = np.where(visible, _SHOWN, _HIDDEN)
    size[_ARMS] *= 1.5
    size *= np.exp(rng.normal(0, 0.3))
    wild = rng.random(kp.COUNT) < np.where(visible, 0.02, 0.08)
    error = rng.standard_normal((kp.COUNT, 2)) * (size * np.where(wild, 4.0, 1.0))[:, None] * torso
    for biased, deviation in _BIASES:
        error[biased] += rng.normal(0, deviation) * torso * up
    scores = np.clip(rng.normal(np.where(visible, 0.77, 0.58), 0.1), 0.1, 1)
    depthmap = rendering.depthmap
    view = View.of(depthmap, (depthmap.width, depthmap.height))
    floor = floor_height(depthmap)
    skeleton = lift_in_view(view, true + error, scores, "inside", floor)
    joints = skeleton.joints + rng.normal(0, _JOINT_NOISE, (kp.COUNT, 3))
    moved = Skeleton(joints, scores, skeleton.distance_px, skeleton.observed, floor, skeleton.gravity_known)
    return BodyView.of(depthmap, moved, lying)
