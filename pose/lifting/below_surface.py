"""How far below the body's surface each joint is, as the camera sees it.

A limb is a cylinder along its bone. Shoulders, hips and head are elliptic cylinders, turned as the person is.
The way through a cylinder is longer for a ray that is not perpendicular to it, as when the camera looks down
at legs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.lifting.anatomy import Build

_MIN_BELOW: Final = 0.003  # metres: a joint is never in front of the surface
_MIN_SINE: Final = 0.6  # of the angle between ray and bone: keypoints do not tell a smaller one

# The radius of the limb at a joint, and the ends of the bone along which it is a cylinder.
_LIMBS: Final = {
    kp.LEFT_ELBOW: ("elbow", (kp.LEFT_SHOULDER,), (kp.LEFT_WRIST,)),
    kp.RIGHT_ELBOW: ("elbow", (kp.RIGHT_SHOULDER,), (kp.RIGHT_WRIST,)),
    kp.LEFT_WRIST: ("wrist", (kp.LEFT_ELBOW,), (kp.LEFT_WRIST,)),
    kp.RIGHT_WRIST: ("wrist", (kp.RIGHT_ELBOW,), (kp.RIGHT_WRIST,)),
    kp.LEFT_KNEE: ("knee", (kp.LEFT_HIP,), (kp.LEFT_ANKLE,)),
    kp.RIGHT_KNEE: ("knee", (kp.RIGHT_HIP,), (kp.RIGHT_ANKLE,)),
    kp.LEFT_ANKLE: ("ankle", (kp.LEFT_KNEE,), (kp.LEFT_ANKLE,)),
    kp.RIGHT_ANKLE: ("ankle", (kp.RIGHT_KNEE,), (kp.RIGHT_ANKLE,)),
}


@dataclass(frozen=True)
class _Cylinder:
    """An upright elliptic cylinder, and the positions of joints in it: metres (left, front) of its axis."""

    half_breadth: float
    half_depth: float
    joints: dict[int, tuple[float, float]]


def depth_below_surface(points: NDArray[np.float64], build: Build) -> NDArray[np.float64]:
    """Return how far below the surface each joint is along its ray, (17,) float64 metres.

    Args:
        points: (17, 3) metres, the surface at each keypoint in camera axes, or the joints.
        build: the person's body measures.
    """
    below = np.zeros(kp.COUNT)
    for joint, (radius, *ends) in _LIMBS.items():
        below[joint] = build[radius] / _sine(points, joint, *ends)
    right = _right_of_body(points)
    nose = 1.06 * build["head_depth"]
    body = _yaw(points, right, (kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER), build["shoulders"], nose)
    head = _yaw(points, right, (kp.LEFT_EAR, kp.RIGHT_EAR), 2 * build["head_breadth"], nose)
    for cylinder, yaw in zip(_cylinders(build), (body, body, head), strict=True):
        for joint, position in cylinder.joints.items():
            below[joint] = _below_cylinder(cylinder, position, yaw)
    for joint in kp.TORSO:
        below[joint] /= _sine(points, joint, kp.TORSO[2:], kp.TORSO[:2])
    return below


def visible_below_surface(build: Build) -> NDArray[np.float64]:
    """Return how far below the surface each joint can be, (17,) metres, if it is seen.

    A joint that is farther below is on the side of the body that the camera does not see: an eye in a picture
    from behind, or the far shoulder in one from the side.
    """
    limit = np.full(kp.COUNT, np.inf)
    limit[list(kp.HEAD)] = 0.35 * build["head_breadth"]
    limit[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] = 1.5 * build["chest_depth"]
    limit[[kp.LEFT_HIP, kp.RIGHT_HIP]] = 1.5 * build["pelvis_depth"]
    return limit


def _sine(points: NDArray[np.float64], joint: int, start: tuple[int, ...], end: tuple[int, ...]) -> float:
    """Return the sine of the angle between a joint's ray and the bone from some joints' mean to others'."""
    bone, ray = _middle(points, end) - _middle(points, start), points[joint]
    lengths = float(np.linalg.norm(bone) * np.linalg.norm(ray))
    if lengths < 1e-6:
        return 1.0
    (a, b, c), (x, y, z) = bone.tolist(), ray.tolist()
    product = np.array([b * z - c * y, c * x - a * z, a * y - b * x])  # np.cross takes ten times as long
    return max(float(np.linalg.norm(product)) / lengths, _MIN_SINE)


def _middle(points: NDArray[np.float64], joints: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(points[joints[0]] if len(joints) == 1 else points[list(joints)].mean(axis=0))


def _cylinders(build: Build) -> tuple[_Cylinder, _Cylinder, _Cylinder]:
    """Return shoulders, hips and head."""
    shoulder, hip = build["shoulders"] / 2, build["hips"] / 2
    b, d = build["head_breadth"], build["head_depth"]
    head = {
        kp.NOSE: (0.0, 1.06 * d),
        kp.LEFT_EYE: (0.43 * b, 0.88 * d), kp.RIGHT_EYE: (-0.43 * b, 0.88 * d),
        kp.LEFT_EAR: (1.0 * b, 0.0), kp.RIGHT_EAR: (-1.0 * b, 0.0),
    }  # fmt: skip
    shoulders = {kp.LEFT_SHOULDER: (shoulder, 0.0), kp.RIGHT_SHOULDER: (-shoulder, 0.0)}
    hips = {kp.LEFT_HIP: (hip, 0.0), kp.RIGHT_HIP: (-hip, 0.0)}
    return (
        _Cylinder(build["chest_breadth"], build["chest_depth"], shoulders),
        _Cylinder(build["pelvis_breadth"], build["pelvis_depth"], hips),
        _Cylinder(b, d, head),
    )


def _right_of_body(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit vector to the right of a viewer who sees the body upright, in the picture's plane."""
    up = points[[*kp.HEAD[:3], kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0)
    up = up - points[[kp.LEFT_HIP, kp.RIGHT_HIP]].mean(axis=0)
    right = np.array([up[1], -up[0], 0.0])
    length = np.linalg.norm(right)
    return right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])


def _yaw(
    points: NDArray[np.float64],
    right: NDArray[np.float64],
    pair: tuple[int, int],
    breadth: float,
    nose: float,
) -> tuple[float, float]:
    """Return cosine and sine of the angle by which a body is turned from the camera to the viewer's right.

    The left and the right joint of the pair are `breadth` apart. Seen from the front, the left one is to the
    viewer's right; seen from behind, it is to the left; seen from the side, both coincide and the nose tells
    which side it is. Both values are 0 if the angle is unknown.
    """
    left, other = points[list(pair)] @ right
    ears = points[[kp.LEFT_EAR, kp.RIGHT_EAR]] @ right
    cos = float(np.clip((left - other) / breadth, -1, 1))
    sin = float(np.clip((points[kp.NOSE] @ right - ears.mean()) / nose, -1, 1))
    # The breadth that is seen limits the angle. The nose, which also moves by itself, only gives its sign.
    limit = float(np.sqrt(1 - cos**2))
    sin = float(np.clip(sin, -limit, limit))
    length = float(np.hypot(cos, sin))
    return (cos / length, sin / length) if length > 0.1 else (0.0, 0.0)


def _below_cylinder(cylinder: _Cylinder, position: tuple[float, float], yaw: tuple[float, float]) -> float:
    """Return the metres from the cylinder's surface, as the camera sees it, to the joint behind it."""
    cos, sin = yaw
    if cos == sin == 0:
        return cylinder.half_depth
    left, front = position
    # The joint in the viewer's axes: x to the right, y towards the camera.
    x, y = left * cos + front * sin, -left * sin + front * cos
    # The ray through x meets the ellipse at the larger root of a y^2 + b y + c = 0.
    a2, b2 = cylinder.half_breadth**2, cylinder.half_depth**2
    a = sin * sin / a2 + cos * cos / b2
    b = 2 * x * cos * sin * (1 / b2 - 1 / a2)
    c = x * x * (cos * cos / a2 + sin * sin / b2) - 1
    surface = (-b + np.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    return max(float(surface - y), _MIN_BELOW)
