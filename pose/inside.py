"""How deep under the skin the joints lie, seen from where the camera stands.

A camera sees skin. Behind it, along the ray, lies the joint: 2 cm for a wrist, 7 for a hip that is seen
from the front, 15 for the nose seen from behind or the far hip from the side. So trunk and head are taken as
elliptic columns with the joints at known places in them, turned as the keypoints say; limbs are round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.anatomy import Build

_LIMBS: Final = {
    kp.LEFT_ELBOW: "elbow", kp.RIGHT_ELBOW: "elbow", kp.LEFT_WRIST: "wrist", kp.RIGHT_WRIST: "wrist",
    kp.LEFT_KNEE: "knee", kp.RIGHT_KNEE: "knee", kp.LEFT_ANKLE: "ankle", kp.RIGHT_ANKLE: "ankle",
}  # fmt: skip
_LEAST: Final = 0.003  # a joint is never in front of the skin


@dataclass(frozen=True)
class _Column:
    """An elliptic column, and the joints in it as metres (to the left, to the front) of its axis."""

    half_breadth: float
    half_depth: float
    joints: dict[int, tuple[float, float]]


def depth_under_skin(points: NDArray[np.float64], build: Build) -> NDArray[np.float64]:
    """How far behind the skin each joint is along its ray, (17,) float64 metres.

    Args:
        points: (17, 3) of the skin at each keypoint in the camera's axes (x right, y up, looking along -z);
            only where they lie across the view counts.
        build: the body's measures.
    """
    inside = np.zeros(kp.COUNT)
    for joint, radius in _LIMBS.items():
        inside[joint] = build[radius]
    right = _viewers_right(points)
    nose = 1.06 * build["head_depth"]
    body = _facing(points, right, (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), build["shoulders"], nose)
    head = _facing(points, right, (kp.LEFT_EAR, kp.RIGHT_EAR), 2 * build["head_breadth"], nose)
    for column, facing in zip(_columns(build), (body, body, head), strict=True):
        for joint, place in column.joints.items():
            inside[joint] = _behind(column, place, facing)
    return inside


def _columns(build: Build) -> tuple[_Column, _Column, _Column]:
    """Shoulders, hips and head."""
    shoulder, hip = build["shoulders"] / 2, build["hips"] / 2
    b, d = build["head_breadth"], build["head_depth"]
    face = {kp.NOSE: (0.0, 1.06 * d), kp.LEFT_EYE: (0.43 * b, 0.88 * d), kp.RIGHT_EYE: (-0.43 * b, 0.88 * d)}
    ears = {kp.LEFT_EAR: (1.0 * b, 0.0), kp.RIGHT_EAR: (-1.0 * b, 0.0)}
    return (
        _Column(
            build["chest_breadth"],
            build["chest_depth"],
            {kp.LEFT_SHOULDER: (shoulder, 0.0), kp.RIGHT_SHOULDER: (-shoulder, 0.0)},
        ),
        _Column(
            build["pelvis_breadth"],
            build["pelvis_depth"],
            {kp.LEFT_HIP: (hip, 0.0), kp.RIGHT_HIP: (-hip, 0.0)},
        ),
        _Column(b, d, face | ears),
    )


def _viewers_right(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector to the right of someone who sees the body upright, in the picture's plane."""
    up = points[[*kp.HEAD[:3], kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0)
    up = up - points[[kp.LEFT_HIP, kp.RIGHT_HIP]].mean(axis=0)
    right = np.array([up[1], -up[0], 0.0])
    length = np.linalg.norm(right)
    return right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])


def _facing(
    points: NDArray[np.float64],
    right: NDArray[np.float64],
    pair: tuple[int, int],
    breadth: float,
    nose: float,
) -> tuple[float, float]:
    """Cosine and sine of the angle by which a body turns from the camera towards the viewer's right.

    Its left and right joint are `breadth` apart and lie as they are seen from the front, crossed from
    behind, and one upon the other from the side; then the nose tells to which side.
    """
    left, other = points[list(pair)] @ right
    ears = points[[kp.LEFT_EAR, kp.RIGHT_EAR]] @ right
    ahead = float(np.clip((left - other) / breadth, -1, 1))
    aside = float(np.clip((points[kp.NOSE] @ right - ears.mean()) / nose, -1, 1))
    # What is seen of the breadth says how much is turned; the nose, which moves on its own, says where.
    turned = float(np.sqrt(1 - ahead**2))
    aside = float(np.clip(aside, -turned, turned))
    length = float(np.hypot(ahead, aside))
    return (ahead / length, aside / length) if length > 0.1 else (0.0, 0.0)


def _behind(column: _Column, place: tuple[float, float], facing: tuple[float, float]) -> float:
    """Metres from the column's skin that is seen to the joint that lies behind it."""
    cos, sin = facing
    if cos == sin == 0:
        return column.half_depth
    left, front = place
    # In the viewer's axes: to the right, and towards the camera.
    aside, near = left * cos + front * sin, -left * sin + front * cos
    a2, b2 = column.half_breadth**2, column.half_depth**2
    a = sin * sin / a2 + cos * cos / b2
    b = 2 * aside * cos * sin * (1 / b2 - 1 / a2)
    c = aside * aside * (cos * cos / a2 + sin * sin / b2) - 1
    surface = (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return max(float(surface - near), _LEAST)
