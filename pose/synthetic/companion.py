"""An adult beside the child, in any stance, near or far, cut by any border."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.synthetic.person import SyntheticPerson, standing_person
from pose.synthetic.posing import Stance, rotation_about
from pose.synthetic.raycast import Camera

FloatArray = NDArray[np.float64]

_TRIES: Final = 30
_NEAREST: Final = 0.3  # metres from the phone to a joint
_PATH: Final = 0.22  # metres: a person nearer than this to the line from the phone to the child hides it
_HELD_STANDING: Final = (5, 6, 7, 8, 9, 10)
_HELD_LYING: Final = (0, 5, 6, 9, 10, 13, 14, 15, 16)


def sample_stance(rng: np.random.Generator) -> Stance:
    """Return how an adult stands, bends, sits, kneels or squats."""
    kind = str(rng.choice(["stand", "bend", "sit", "kneel", "squat"], p=[0.35, 0.28, 0.13, 0.12, 0.12]))
    if kind == "stand":
        return Stance(rng.normal(3, 5), rng.normal(3, 5), abs(rng.normal(3, 6)))
    if kind == "bend":
        lean = rng.uniform(15, 80)
        return Stance(lean, lean + rng.normal(0, 8), abs(rng.normal(8, 10)))
    if kind == "sit":
        return Stance(rng.normal(8, 12), rng.normal(88, 12), rng.normal(75, 25))
    if kind == "kneel":
        lean = rng.uniform(0, 50)
        return Stance(lean, lean + rng.normal(5, 8), rng.normal(100, 10))
    lean = rng.uniform(5, 50)
    return Stance(lean, rng.normal(110, 12) + 0.3 * lean, rng.normal(125, 12))


def sample_companion(
    rng: np.random.Generator, body_seed: int, owner: int, camera: Camera, child: SyntheticPerson, lying: bool
) -> SyntheticPerson | None:
    """Return an adult, or seldom an older child, who is partly in the picture; None if no place is found.

    Often the hands hold the child. The person never stands between the phone and the child's trunk.

    Args:
        rng: draws size, place, stance and arms.
        body_seed, owner: see `standing_person`.
        camera: its pose and intrinsics decide what is in the picture.
        lying: the child lies; the person is then beside it, otherwise up to four metres away.
    """
    middle = child.joints.mean(axis=0)
    for _ in range(_TRIES):
        stature = float(rng.uniform(1.45, 1.85) if rng.random() < 0.85 else rng.uniform(0.8, 1.4))
        at = _place(rng, camera, middle, lying)
        towards = np.degrees(np.arctan2(*(middle - at)[[0, 2]]))  # the yaw that faces the child
        yaw = towards + rng.normal(0, 35) if rng.random() < 0.6 else rng.uniform(-180, 180)
        hold = child.joints[list(_HELD_LYING if lying else _HELD_STANDING)] if rng.random() < 0.5 else None
        person = standing_person(
            rng, body_seed, owner, stature, float(yaw), at, gaze=0.0, stance=sample_stance(rng), hold=hold
        )
        if _fits(camera, person, child):
            return person
    return None


def _place(rng: np.random.Generator, camera: Camera, middle: FloatArray, lying: bool) -> FloatArray:
    """Return a point (3,) on the ground."""
    if lying or rng.random() < 0.35:  # near the child
        off = rotation_about("y", rng.uniform(-180, 180)) @ np.array([0.0, 0.0, rng.uniform(0.15, 1.1)])
        return np.array([middle[0], 0.0, middle[2]]) + off
    forward = -camera.rotation[:, 2] * np.array([1.0, 0.0, 1.0])
    forward /= np.linalg.norm(forward) + 1e-9
    distance = float(np.exp(rng.uniform(np.log(0.5), np.log(4.0))))
    # The horizontal half angle of view is about 29 degrees. Beyond it a person is cut by the border.
    spot = camera.position + rotation_about("y", rng.uniform(-38, 38)) @ forward * distance
    return np.array([spot[0], 0.0, spot[2]])


def _fits(camera: Camera, person: SyntheticPerson, child: SyntheticPerson) -> bool:
    points = np.concatenate([person.joints, person.head[1][None]])
    if np.linalg.norm(points - camera.position, axis=1).min() < _NEAREST:
        return False
    trunk = child.joints[list(kp.TORSO)].mean(axis=0)
    if np.linalg.norm(points[list(kp.TORSO)] - trunk, axis=1).min() < 0.2:
        return False
    path = trunk - camera.position
    along = np.clip((points - camera.position) @ path / (path @ path), 0, 0.95)
    if np.linalg.norm(points - camera.position - along[:, None] * path, axis=1).min() < _PATH * along.max():
        return False
    uv, depth = camera.project(points)
    # Cameras of a scene are those of a map of 240x180 until its size is known.
    inside = ((uv > 0) & (uv < (240, 180))).all(axis=1) & (depth > 0)
    return bool(inside.sum() >= 3 or inside[-1])
