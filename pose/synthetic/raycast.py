"""Ray casting of smooth volumes: which shape each pixel sees, and at which depth.

All intersections have a closed form, so a depth map takes milliseconds and needs only numpy. The shapes are
boxes, planes and round cones (the convex hull of two spheres). Round cones may be scaled along the axes of
their own frame; an ellipsoid is one whose two spheres coincide. The round cone follows the quadratic of
Quilez, "Intersectors" (iquilezles.org, 2014), for rays that are not of unit length: a ray's direction has
z = -1 in the camera frame, so the ray parameter t is the depth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pose.geometry.camera import Intrinsics

FloatArray = NDArray[np.float64]
NEAR = 0.05  # metres; the near clipping plane


@dataclass(frozen=True, eq=False)
class Shape:
    """A volume in the scene (metres, y up).

    Attributes:
        kind: "cone", "box" or "plane".
        part: semantic label such as "head" or "floor"; decides colour and reflectance.
        owner: number of the person it belongs to, -1 for the room, -2 for hands of a person out of view.
        origin: (3,) position in the scene.
        frame: (3, 3) rotation; columns are the axes of the shape's local frame in the scene.
        scale: (3,) factors along the local axes.
        ends: (2, 3) centres of a cone's two spheres in the local frame, before scaling.
        radii: their two radii.
        half: (3,) half the edges of a box along the local axes. A plane is y = 0 of its local frame.
        wrinkle: metres, how far cloth moves the surface in and out.
    """

    kind: str
    part: str
    owner: int
    origin: FloatArray
    frame: FloatArray = field(default_factory=lambda: np.eye(3))
    scale: FloatArray = field(default_factory=lambda: np.ones(3))
    ends: FloatArray = field(default_factory=lambda: np.zeros((2, 3)))
    radii: tuple[float, float] = (0.0, 0.0)
    half: FloatArray = field(default_factory=lambda: np.zeros(3))
    wrinkle: float = 0.0


def cone(
    part: str, owner: int, a: FloatArray, b: FloatArray, ra: float, rb: float, *, wrinkle: float = 0.0
) -> Shape:
    """Return a round cone between points a and b (3,) of the scene, with radii ra and rb."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return Shape("cone", part, owner, a, ends=np.stack([np.zeros(3), b - a]), radii=(ra, rb), wrinkle=wrinkle)


def elliptic_cone(
    part: str,
    owner: int,
    a: FloatArray,
    b: FloatArray,
    ra: float,
    rb: float,
    frame: FloatArray,
    scale: tuple[float, float, float],
    *,
    wrinkle: float = 0.0,
) -> Shape:
    """Return a round cone between a and b, its cross-section scaled by `scale` along the axes of `frame`."""
    a, b, factors = np.asarray(a, float), np.asarray(b, float), np.asarray(scale, float)
    end = (frame.T @ (b - a)) / factors
    ends = np.stack([np.zeros(3), end])
    return Shape("cone", part, owner, a, frame, factors, ends, (ra, rb), wrinkle=wrinkle)


def ellipsoid(
    part: str,
    owner: int,
    centre: FloatArray,
    frame: FloatArray,
    radii: tuple[float, float, float],
    *,
    wrinkle: float = 0.0,
) -> Shape:
    """Return an ellipsoid around `centre` with `radii` along the axes of `frame`."""
    at, stretch = np.asarray(centre, float), np.asarray(radii, float)
    return Shape("cone", part, owner, at, frame, stretch, radii=(1.0, 1.0), wrinkle=wrinkle)


def box(part: str, centre: FloatArray, frame: FloatArray, size: tuple[float, float, float]) -> Shape:
    """Return a box of the room; `size` is its full edge lengths along the axes of `frame`."""
    half = np.asarray(size, float) / 2
    return Shape("box", part, -1, np.asarray(centre, float), frame, half=half)


def plane(part: str, point: FloatArray, frame: FloatArray) -> Shape:
    """Return a plane of the room through `point`; its normal is the second column of `frame`."""
    return Shape("plane", part, -1, np.asarray(point, float), frame)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera and its pose. It looks along -z, y up, as in a `.depth` file.

    Attributes:
        rotation: (3, 3), camera to world.
        position: (3,) metres.
    """

    intrinsics: Intrinsics
    rotation: FloatArray
    position: FloatArray

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Project points (..., 3) of the scene to pixels (..., 2) as (u, v), and depths (...) in metres."""
        local = (points - self.position) @ self.rotation
        depth = -local[..., 2]
        # Points behind the camera get pixels as well, though meaningless ones: callers check the depth.
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        at_one_metre = np.stack([local[..., 0] / safe, local[..., 1] / safe, np.full_like(safe, -1)], axis=-1)
        return np.stack(self.intrinsics.project(at_one_metre), axis=-1), depth


@dataclass(frozen=True, eq=False)
class Hits:
    """The surface that each pixel sees.

    Attributes:
        depth: (H, W) float32 metres along the camera's axis, inf where the ray hits nothing.
        index: (H, W) int16 index of the shape, -1 where the ray hits nothing.
    """

    depth: NDArray[np.float32]
    index: NDArray[np.int16]

    def part_mask(self, shapes: list[Shape], *parts: str) -> NDArray[np.bool_]:
        """Return (H, W) bool: pixels that see one of these parts. `shapes` are those that were cast."""
        return np.array([*(shape.part in parts for shape in shapes), False])[self.index]

    def owner_mask(self, shapes: list[Shape], owner: int) -> NDArray[np.bool_]:
        """Return (H, W) bool: pixels that see this person. `shapes` are those that were cast."""
        return np.array([*(shape.owner == owner for shape in shapes), False])[self.index]


def cast_rays(camera: Camera, shapes: list[Shape]) -> Hits:
    """Cast one ray through the centre of each pixel."""
    k = camera.intrinsics
    x, y = (slope.astype(np.float32) for slope in k.slopes())
    depth = np.full((k.height, k.width), np.inf, np.float32)
    index = np.full((k.height, k.width), -1, np.int16)
    for number, shape in enumerate(shapes):
        window = _pixel_window(camera, shape)
        if window is None:
            continue
        rows, columns = window
        # Camera frame to the shape's local frame. All rays start at the camera's position.
        to_local = (shape.frame / shape.scale).T  # (3, 3): rotates, then divides by the scale
        start = (to_local @ (camera.position - shape.origin)).astype(np.float32)
        turn = (to_local @ camera.rotation).astype(np.float32)
        direction = [
            turn[i, 0] * x[columns][None, :] + turn[i, 1] * y[rows][:, None] - turn[i, 2] for i in range(3)
        ]
        t = _INTERSECT[shape.kind](shape, start, direction)
        seen = depth[rows, columns]
        nearer = (t > NEAR) & (t < seen)
        seen[nearer] = t[nearer]
        index[rows, columns][nearer] = number
    return Hits(depth, index)


def _pixel_window(camera: Camera, shape: Shape) -> tuple[slice, slice] | None:
    """Return the rows and columns that may see the shape, None for none.

    Planes, and shapes that extend behind the camera, get the whole picture.
    """
    k = camera.intrinsics
    whole = slice(0, k.height), slice(0, k.width)
    if shape.kind == "plane":
        return whole
    if shape.kind == "box":
        signs = np.array([[i, j, m] for i in (-1, 1) for j in (-1, 1) for m in (-1, 1)], float)
        corners = shape.origin + (signs * shape.half) @ shape.frame.T
        local = (corners - camera.position) @ camera.rotation
        low, high = local.min(0), local.max(0)
    else:
        centres = shape.origin + (shape.ends * shape.scale) @ shape.frame.T
        local = (centres - camera.position) @ camera.rotation
        # Half the extent of a scaled sphere along the camera's axes.
        spread = np.linalg.norm((camera.rotation.T @ shape.frame) * shape.scale, axis=1)
        extent = np.array(shape.radii)[:, None] * spread[None, :]
        low, high = (local - extent).min(0), (local + extent).max(0)
    if low[2] > -NEAR:
        return None  # entirely behind the camera
    if high[2] > -NEAR:
        return whole
    nearest, farthest = -high[2], -low[2]
    us = np.array([low[0] / nearest, low[0] / farthest, high[0] / nearest, high[0] / farthest]) * k.fx + k.cx
    vs = k.cy - np.array([low[1] / nearest, low[1] / farthest, high[1] / nearest, high[1] / farthest]) * k.fy
    u0, u1 = max(int(us.min()), 0), min(int(us.max()) + 2, k.width)
    v0, v1 = max(int(vs.min()), 0), min(int(vs.max()) + 2, k.height)
    return None if u0 >= u1 or v0 >= v1 else (slice(v0, v1), slice(u0, u1))


def _dot(a: list[NDArray[np.float32]], b: NDArray[np.float32]) -> NDArray[np.float32]:
    out: NDArray[np.float32] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return out


def _intersect_cone(
    shape: Shape, o: NDArray[np.float32], d: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    ra, rb = (np.float32(r) for r in shape.radii)
    axis = (shape.ends[1] - shape.ends[0]).astype(np.float32)
    dd = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    od = _dot(d, o)
    oo = np.float32(o @ o)
    m0 = np.float32(axis @ axis)
    slope = ra - rb
    d2 = m0 - slope * slope
    if d2 <= 1e-12:  # one sphere contains the other
        if ra >= rb:
            return _intersect_sphere(dd, od, oo, ra)
        far = o - axis
        return _intersect_sphere(dd, _dot(d, far), np.float32(far @ far), rb)
    ad = _dot(d, axis)
    ao = np.float32(axis @ o)
    k2 = d2 * dd - ad * ad
    k1 = d2 * od - ao * ad + ra * slope * ad
    k0 = d2 * oo - ao * ao + 2 * ao * slope * ra - m0 * ra * ra
    h = k1 * k1 - k0 * k2
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (-np.sqrt(h) - k1) / k2  # nan where the ray misses
        along = ao - ra * slope + t * ad
    inside = (along > 0) & (along < d2)
    t = np.where(inside, t, np.float32(np.inf))
    # Intersect the caps only where the ray misses the side.
    miss = ~inside
    caps = np.minimum(
        _intersect_sphere(dd[miss], od[miss], oo, ra),
        _intersect_sphere(dd[miss], (od - ad)[miss], np.float32((o - axis) @ (o - axis)), rb),
    )
    t[miss] = caps
    return np.asarray(t, np.float32)


def _intersect_sphere(
    dd: NDArray[np.float32], od: NDArray[np.float32], oo: np.float32, r: np.float32
) -> NDArray[np.float32]:
    h = od * od - dd * (oo - r * r)
    with np.errstate(invalid="ignore"):
        t = (-od - np.sqrt(h)) / dd
    return np.where(h >= 0, t, np.float32(np.inf))


def _intersect_box(shape: Shape, o: NDArray[np.float32], d: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    enter, leave = np.float32(-np.inf), np.float32(np.inf)
    for i in range(3):
        safe = np.where(np.abs(d[i]) < 1e-9, np.float32(1e-9), d[i])
        half = np.float32(shape.half[i])
        one, two = (-half - o[i]) / safe, (half - o[i]) / safe
        enter = np.maximum(enter, np.minimum(one, two))
        leave = np.minimum(leave, np.maximum(one, two))
    return np.asarray(np.where(leave > enter, enter, np.inf), np.float32)


def _intersect_plane(
    shape: Shape, o: NDArray[np.float32], d: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = -o[1] / d[1]
    return np.asarray(np.where(t > NEAR, t, np.inf), np.float32)


_INTERSECT = {"cone": _intersect_cone, "box": _intersect_box, "plane": _intersect_plane}
