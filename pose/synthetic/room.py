"""The room of a scene: walls, furniture, toys, and the surface that a lying child lies on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pose.synthetic.posing import rotation_about
from pose.synthetic.raycast import Camera, Shape, box, cone, ellipsoid, plane

FloatArray = NDArray[np.float64]


def sample_bedding(rng: np.random.Generator, stature: float) -> tuple[float, list[Shape]]:
    """Return the height (metres) and the shapes of what a child lies on; 0 and none for the bare floor."""
    kind = rng.random()
    level = rotation_about("y", rng.normal(0, 8))
    if kind < 0.35:
        return 0.0, []
    if kind < 0.80:  # a mat or a mattress
        thick = float(rng.uniform(0.006, 0.07))
        size = (rng.uniform(0.45, 1.2), thick, stature * rng.uniform(1.1, 1.7))
        return thick, [box("mat", np.array([0, thick / 2, 0]), level, size)]
    if kind < 0.92:  # a length board with its rails
        width, thick = float(rng.uniform(0.24, 0.34)), float(rng.uniform(0.02, 0.06))
        length = max(1.1, 1.25 * stature)
        shapes = [box("board", np.array([0, thick / 2, 0]), np.eye(3), (width, thick, length))]
        shapes.append(box("board", np.array([0, 0.10, -length / 2]), np.eye(3), (width, 0.2, 0.02)))
        if rng.random() < 0.5:
            for side in (-1, 1):
                rail = np.array([side * width / 2, 0.05, 0])
                shapes.append(box("board", rail, np.eye(3), (0.015, 0.1, length)))
        return thick, shapes
    high = float(rng.uniform(0.35, 0.75))  # a table or a bed
    size = (rng.uniform(0.6, 1.6), high, max(1.2, stature * 1.3))
    return high, [box("bed", np.array([0, high / 2, 0]), level, size)]


def sample_room(
    rng: np.random.Generator, camera: Camera, middle: FloatArray, careful: bool, *, crowded: bool
) -> list[Shape]:
    """Return up to two walls and some objects around `middle` (3,), none between it and the phone.

    Args:
        careful: put a wall behind the child, within range of the sensor.
        crowded: put more objects, also in the middle. Used for rooms without people.
    """
    shapes: list[Shape] = []
    away = middle - camera.position
    away[1] = 0
    away = away / (np.linalg.norm(away) + 1e-9)
    walls = int(rng.choice([1, 2])) if careful else int(rng.choice([0, 1, 2], p=[0.3, 0.4, 0.3]))
    for number in range(walls):
        facing = rotation_about("y", rng.normal(0, 22) + (rng.choice([90, -90]) if number else 0)) @ -away
        frame = np.stack([np.cross(facing, [0, 1, 0]), facing, np.array([0.0, 1.0, 0.0])], axis=1)
        gap = 0.2 + 0.3 * middle[1] if rng.random() < 0.3 else rng.uniform(0.5, 1.6 if careful else 2.5)
        spot = middle - facing * gap
        if (camera.position - spot) @ facing > 0.2:  # the phone is in the same room
            shapes.append(plane("wall", spot, frame))
    for _ in range(int(rng.integers(2, 7)) if crowded else int(rng.integers(0, 5))):
        objects = _furniture(rng, middle) if rng.random() < 0.5 else _round_objects(rng, middle, crowded)
        clearance = 0.30 if not crowded else 0.0
        if all(_is_clear(shape, camera, middle, clearance) for shape in objects):
            shapes += objects
    return shapes


def _is_clear(shape: Shape, camera: Camera, middle: FloatArray, clearance: float) -> bool:
    """Return whether an object is neither inside the child nor between the child and the phone."""
    size = float(np.linalg.norm(shape.half))
    if shape.kind != "box":
        size = float(shape.scale.max() * max(shape.radii))
    if np.linalg.norm(shape.origin - camera.position) < size + 0.25:
        return False
    if clearance == 0.0:
        return True
    path = middle - camera.position
    along = float(np.clip((shape.origin - camera.position) @ path / (path @ path), 0, 1))
    return bool(np.linalg.norm(shape.origin - camera.position - along * path) > 0.7 * size + clearance)


def _furniture(rng: np.random.Generator, middle: FloatArray) -> list[Shape]:
    """Return a box, or a table or stool with four legs, somewhere around `middle`."""
    at = middle + rotation_about("y", rng.uniform(-180, 180)) @ np.array([0.0, 0.0, rng.uniform(0.4, 2.2)])
    frame = rotation_about("y", rng.uniform(0, 90))
    w, h, d = rng.uniform(0.15, 1.2), rng.uniform(0.1, 1.6), rng.uniform(0.15, 0.8)
    if rng.random() < 0.6:
        return [box("furniture", np.array([at[0], h / 2, at[2]]), frame, (w, h, d))]
    h = min(h, 0.9)
    top = box("furniture", np.array([at[0], h, at[2]]), frame, (w, 0.03, d))
    corners = [np.array([x * (w / 2 - 0.03), h / 2, z * (d / 2 - 0.03)]) for x in (-1, 1) for z in (-1, 1)]
    foot = np.array([at[0], 0, at[2]])
    return [top, *(box("furniture", foot + frame @ corner, frame, (0.04, h, 0.04)) for corner in corners)]


def _round_objects(rng: np.random.Generator, middle: FloatArray, crowded: bool) -> list[Shape]:
    """Return a ball, a bucket, a heap of clothes or a toy animal: round shapes that are no person."""
    distance = rng.uniform(0.0, 1.2) if crowded else rng.uniform(0.35, 1.3)
    at = middle + rotation_about("y", rng.uniform(-180, 180)) @ np.array([0.0, 0.0, distance])
    if rng.random() < (0.35 if crowded else 0.1):
        return _toy_animal(rng, at)
    size = float(rng.uniform(0.04, 0.22))
    at[1] = size * rng.uniform(0.5, 1.0)
    if rng.random() < 0.3:
        tall = np.array([0.0, rng.uniform(0.0, 0.6), 0.0])
        return [cone("thing", -1, at, at + tall, size, size * rng.uniform(0.5, 1.2))]
    shapes = []
    for _ in range(int(rng.integers(1, 8))):
        frame = rotation_about("y", rng.uniform(0, 180)) @ rotation_about("x", rng.uniform(0, 180))
        place = at + rng.normal(0, 0.8 * size, 3) * np.array([1.0, 0.6, 1.0])
        place[1] = max(place[1], 0.3 * size)
        radii = size * rng.uniform(0.3, 0.9, 3)
        shapes.append(ellipsoid("thing", -1, place, frame, (radii[0], radii[1], radii[2]), wrinkle=0.004))
    return shapes


def _toy_animal(rng: np.random.Generator, at: FloatArray) -> list[Shape]:
    """Return a toy animal that sits, stands or lies: easily mistaken for a child."""
    size = float(rng.uniform(0.12, 0.45))  # sitting height
    up = rotation_about("y", rng.uniform(-180, 180)) @ rotation_about(
        "x", rng.choice([0, 0, 60, 90]) + rng.normal(0, 12)
    )
    thick, head = size * rng.uniform(0.20, 0.32), size * rng.uniform(0.18, 0.30)

    def point(x: float, y: float, z: float) -> FloatArray:
        return np.asarray(up @ (np.array([x, y, z]) * size))

    neck, rump = point(0, 0.62, 0.05), point(0, 0.22, -0.1)
    skull = point(rng.normal(0, 0.05), 0.85, rng.uniform(0.0, 0.25))
    shapes = [cone("thing", -1, rump, neck, thick, 0.8 * thick), cone("thing", -1, skull, skull, head, head)]
    for side in (-1, 1):
        ear = skull + point(side * 0.25, rng.uniform(-0.25, 0.25), 0)
        paw = point(side * 0.2, rng.uniform(0.05, 0.4), 0.3)
        foot = point(side * 0.28, 0.08, rng.uniform(0.1, 0.4))
        shapes.append(cone("thing", -1, skull + (ear - skull) * 0.5, ear, 0.3 * head, 0.35 * head))
        shapes.append(cone("thing", -1, neck, paw, 0.4 * thick, 0.35 * thick))
        shapes.append(cone("thing", -1, rump, foot, 0.45 * thick, 0.4 * thick))
    low = min(float((s.origin + s.ends[1])[1]) for s in shapes)
    lift = np.array([at[0], max(0.35 * thick - low, 0.0), at[2]])
    return [replace(s, origin=s.origin + lift) for s in shapes]
