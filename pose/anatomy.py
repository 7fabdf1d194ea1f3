"""How deep under the skin the joints lie, seen from where the camera stands.

A camera sees skin. Behind it, along the ray, lies the joint: 2 cm for a wrist, 7 for a hip that is seen
from the front, 20 for the far hip seen from the side or for the nose seen from behind. So trunk and head
are taken as elliptic columns with the joints at known places in them, turned as the keypoints say; limbs
are round. All sizes are in units of the trunk's length (middle of the shoulders to that of the hips).

The figures are the usual proportions of children of one to six years, rounded, and were checked on rendered
scans (benchmarks/lifting.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.depthmap import DepthMap

# Limbs: the joint's depth under the skin.
_LIMB_RADIUS: Final = {
    kp.LEFT_ELBOW: 0.10, kp.RIGHT_ELBOW: 0.10, kp.LEFT_WRIST: 0.07, kp.RIGHT_WRIST: 0.07,
    kp.LEFT_KNEE: 0.14, kp.RIGHT_KNEE: 0.14, kp.LEFT_ANKLE: 0.10, kp.RIGHT_ANKLE: 0.10,
}  # fmt: skip


@dataclass(frozen=True)
class _Column:
    """An elliptic column, and the joints in it as (left, front) from its axis."""

    half_breadth: float
    half_depth: float
    joints: dict[int, tuple[float, float]]


_SHOULDERS: Final = _Column(0.52, 0.20, {kp.LEFT_SHOULDER: (0.36, 0.0), kp.RIGHT_SHOULDER: (-0.36, 0.0)})
_HIPS: Final = _Column(0.42, 0.26, {kp.LEFT_HIP: (0.24, 0.0), kp.RIGHT_HIP: (-0.24, 0.0)})
_HEAD: Final = _Column(
    0.26,
    0.32,
    {
        kp.NOSE: (0.0, 0.36),
        kp.LEFT_EYE: (0.11, 0.27), kp.RIGHT_EYE: (-0.11, 0.27),
        kp.LEFT_EAR: (0.25, 0.0), kp.RIGHT_EAR: (-0.25, 0.0),
    },
)  # fmt: skip
_LEAST: Final = 0.01

# Lengths of bones in trunk lengths: several bones tell the body's size better than one.
_BONES: Final = (
    ((kp.LEFT_HIP,), (kp.LEFT_KNEE,), 0.60), ((kp.RIGHT_HIP,), (kp.RIGHT_KNEE,), 0.60),
    ((kp.LEFT_KNEE,), (kp.LEFT_ANKLE,), 0.65), ((kp.RIGHT_KNEE,), (kp.RIGHT_ANKLE,), 0.65),
    ((kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), (kp.LEFT_HIP, kp.RIGHT_HIP), 1.0),
)  # fmt: skip
TRUNK_RANGE: Final = (0.14, 0.60)
_USUAL_TRUNK: Final = 0.28


def trunk_length(joints: NDArray[np.float64], observed: NDArray[np.bool_]) -> float:
    """Length of the trunk in metres as the lengths of all bones tell it together, within what people have.

    Args:
        joints: (17, 3) metres, in any axes; on the skin or inside.
        observed: (17,) bool.
    """
    found = []
    for upper, lower, share in _BONES:
        if observed[[*upper, *lower]].all():
            bone = joints[list(upper)].mean(axis=0) - joints[list(lower)].mean(axis=0)
            found.append(float(np.linalg.norm(bone)) / share)
    return float(np.clip(np.median(found), *TRUNK_RANGE)) if found else _USUAL_TRUNK


def depth_of_joints(
    depthmap: DepthMap, at: NDArray[np.float64], skin: NDArray[np.float64], observed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much farther than the skin each joint is, (17,) float64 metres of depth.

    Args:
        depthmap: for its camera only.
        at: (17, 2) u, v of the keypoints in pixels of the depth map.
        skin: (17,) depth of the skin there.
        observed: (17,) bool, where that is known.
    """
    camera = depthmap.intrinsics
    rays = np.empty((kp.COUNT, 3))
    rays[:, 0] = (at[:, 0] - camera.cx) / camera.fx
    rays[:, 1] = ((depthmap.height - 1 - at[:, 1]) - camera.cy) / camera.fy
    rays[:, 2] = -1.0
    points = rays * skin[:, None]
    trunk = trunk_length(points, observed)
    inside = np.zeros(kp.COUNT)
    for joint, radius in _LIMB_RADIUS.items():
        inside[joint] = radius
    right = _viewers_right(points)
    body = _facing(points, right, (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), 0.72 * trunk, 0.36 * trunk)
    head = _facing(points, right, (kp.LEFT_EAR, kp.RIGHT_EAR), 0.50 * trunk, 0.36 * trunk)
    for column, facing in ((_SHOULDERS, body), (_HIPS, body), (_HEAD, head)):
        for joint, place in column.joints.items():
            inside[joint] = _inside(column, place, facing)
    # Along the ray, of which depth is the part along the camera's axis.
    return inside * trunk / np.linalg.norm(rays, axis=1)


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
    turned = np.sqrt(1 - ahead**2)
    aside = float(np.clip(aside, -turned, turned))
    length = np.hypot(ahead, aside)
    return (ahead / length, aside / length) if length > 0.1 else (0.0, 0.0)


def _inside(column: _Column, place: tuple[float, float], facing: tuple[float, float]) -> float:
    """From the column's skin towards the camera to the joint that lies behind it."""
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
