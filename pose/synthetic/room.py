"""What stands and lies about in a scene: walls, furniture, toys, and what a lying child lies on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pose.synthetic.posing import turn
from pose.synthetic.raycast import Camera, Shape, box, cone, ellipsoid, plane

FloatArray = NDArray[np.float64]


def sample_bedding(scan: np.random.Generator, stature: float) -> tuple[float, list[Shape]]:
    """What a child of this stature lies on: its height in metres, 0 for the bare floor, and its shapes."""
    kind = scan.random()
    level = turn("y", scan.normal(0, 8))
    if kind < 0.35:
        return 0.0, []
    if kind < 0.80:  # a mat or a mattress
        thick = float(scan.uniform(0.006, 0.07))
        size = (scan.uniform(0.45, 1.2), thick, stature * scan.uniform(1.1, 1.7))
        return thick, [box("mat", np.array([0, thick / 2, 0]), level, size)]
    if kind < 0.92:  # a measuring board with its rails
        width, thick = float(scan.uniform(0.24, 0.34)), float(scan.uniform(0.02, 0.06))
        length = max(1.1, 1.25 * stature)
        shapes = [box("board", np.array([0, thick / 2, 0]), np.eye(3), (width, thick, length))]
        shapes.append(box("board", np.array([0, 0.10, -length / 2]), np.eye(3), (width, 0.2, 0.02)))
        if scan.random() < 0.5:
            for side in (-1, 1):
                rail = np.array([side * width / 2, 0.05, 0])
                shapes.append(box("board", rail, np.eye(3), (0.015, 0.1, length)))
        return thick, shapes
    high = float(scan.uniform(0.35, 0.75))  # a table or a bed
    size = (scan.uniform(0.6, 1.6), high, max(1.2, stature * 1.3))
    return high, [box("bed", np.array([0, high / 2, 0]), level, size)]


def sample_room(
    scan: np.random.Generator, camera: Camera, middle: FloatArray, careful: bool, *, crowded: bool
) -> list[Shape]:
    """Up to two walls and some things around `middle` (3,), none between it and the phone.

    Args:
        careful: whether a wall stands behind, so near that the sensor reaches it.
        crowded: whether nobody is there, so that more things stand about, also in the middle.
    """
    shapes: list[Shape] = []
    away = middle - camera.position
    away[1] = 0
    away = away / (np.linalg.norm(away) + 1e-9)
    walls = int(scan.choice([1, 2])) if careful else int(scan.choice([0, 1, 2], p=[0.3, 0.4, 0.3]))
    for number in range(walls):
        facing = turn("y", scan.normal(0, 22) + (scan.choice([90, -90]) if number else 0)) @ -away
        frame = np.stack([np.cross(facing, [0, 1, 0]), facing, np.array([0.0, 1.0, 0.0])], axis=1)
        gap = 0.2 + 0.3 * middle[1] if scan.random() < 0.3 else scan.uniform(0.5, 1.6 if careful else 2.5)
        spot = middle - facing * gap
        if (camera.position - spot) @ facing > 0.2:  # the phone is in the same room
            shapes.append(plane("wall", spot, frame))
    for _ in range(int(scan.integers(2, 7)) if crowded else int(scan.integers(0, 5))):
        thing = _furniture(scan, middle) if scan.random() < 0.5 else _things(scan, middle, crowded)
        reach = 0.30 if not crowded else 0.0
        if all(_clear(shape, camera, middle, reach) for shape in thing):
            shapes += thing
    return shapes


def _clear(shape: Shape, camera: Camera, middle: FloatArray, reach: float) -> bool:
    """Whether a thing stands neither in the child nor between it and the phone."""
    size = float(np.linalg.norm(shape.half))
    if shape.kind != "box":
        size = float(shape.scale.max() * max(shape.radii))
    if np.linalg.norm(shape.origin - camera.position) < size + 0.25:
        return False
    if reach == 0.0:
        return True
    path = middle - camera.position
    along = float(np.clip((shape.origin - camera.position) @ path / (path @ path), 0, 1))
    return bool(np.linalg.norm(shape.origin - camera.position - along * path) > 0.7 * size + reach)


def _furniture(scan: np.random.Generator, middle: FloatArray) -> list[Shape]:
    at = middle + turn("y", scan.uniform(-180, 180)) @ np.array([0.0, 0.0, scan.uniform(0.4, 2.2)])
    frame = turn("y", scan.uniform(0, 90))
    w, h, d = scan.uniform(0.15, 1.2), scan.uniform(0.1, 1.6), scan.uniform(0.15, 0.8)
    if scan.random() < 0.6:
        return [box("furniture", np.array([at[0], h / 2, at[2]]), frame, (w, h, d))]
    h = min(h, 0.9)  # a table or a stool
    top = box("furniture", np.array([at[0], h, at[2]]), frame, (w, 0.03, d))
    corners = [np.array([x * (w / 2 - 0.03), h / 2, z * (d / 2 - 0.03)]) for x in (-1, 1) for z in (-1, 1)]
    foot = np.array([at[0], 0, at[2]])
    return [top, *(box("furniture", foot + frame @ corner, frame, (0.04, h, 0.04)) for corner in corners)]


def _things(scan: np.random.Generator, middle: FloatArray, crowded: bool) -> list[Shape]:
    """A ball, a bucket, a heap of clothes, a toy animal: round things that are nobody."""
    far = scan.uniform(0.0, 1.2) if crowded else scan.uniform(0.35, 1.3)
    at = middle + turn("y", scan.uniform(-180, 180)) @ np.array([0.0, 0.0, far])
    if scan.random() < (0.35 if crowded else 0.1):
        return _toy_animal(scan, at)
    size = float(scan.uniform(0.04, 0.22))
    at[1] = size * scan.uniform(0.5, 1.0)
    if scan.random() < 0.3:
        tall = np.array([0.0, scan.uniform(0.0, 0.6), 0.0])
        return [cone("thing", -1, at, at + tall, size, size * scan.uniform(0.5, 1.2))]
    shapes = []
    for _ in range(int(scan.integers(1, 8))):
        frame = turn("y", scan.uniform(0, 180)) @ turn("x", scan.uniform(0, 180))
        place = at + scan.normal(0, 0.8 * size, 3) * np.array([1.0, 0.6, 1.0])
        place[1] = max(place[1], 0.3 * size)
        radii = size * scan.uniform(0.3, 0.9, 3)
        shapes.append(ellipsoid("thing", -1, place, frame, (radii[0], radii[1], radii[2]), wrinkle=0.004))
    return shapes


def _toy_animal(scan: np.random.Generator, at: FloatArray) -> list[Shape]:
    """A trunk, a head, ears and four legs, sitting, standing or fallen over: easily taken for a child."""
    size = float(scan.uniform(0.12, 0.45))  # height when it sits
    up = turn("y", scan.uniform(-180, 180)) @ turn("x", scan.choice([0, 0, 60, 90]) + scan.normal(0, 12))
    thick, head = size * scan.uniform(0.20, 0.32), size * scan.uniform(0.18, 0.30)

    def point(x: float, y: float, z: float) -> FloatArray:
        return np.asarray(up @ (np.array([x, y, z]) * size))

    neck, rump = point(0, 0.62, 0.05), point(0, 0.22, -0.1)
    skull = point(scan.normal(0, 0.05), 0.85, scan.uniform(0.0, 0.25))
    shapes = [cone("thing", -1, rump, neck, thick, 0.8 * thick), cone("thing", -1, skull, skull, head, head)]
    for side in (-1, 1):
        ear = skull + point(side * 0.25, scan.uniform(-0.25, 0.25), 0)
        paw = point(side * 0.2, scan.uniform(0.05, 0.4), 0.3)
        foot = point(side * 0.28, 0.08, scan.uniform(0.1, 0.4))
        shapes.append(cone("thing", -1, skull + (ear - skull) * 0.5, ear, 0.3 * head, 0.35 * head))
        shapes.append(cone("thing", -1, neck, paw, 0.4 * thick, 0.35 * thick))
        shapes.append(cone("thing", -1, rump, foot, 0.45 * thick, 0.4 * thick))
    low = min(float((s.origin + s.ends[1])[1]) for s in shapes)
    lift = np.array([at[0], max(0.35 * thick - low, 0.0), at[2]])
    return [replace(s, origin=s.origin + lift) for s in shapes]
