"""A scene to be scanned: a room, at most two people, and the phone that looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose.bodies.body import Body, lying_body, standing_body
from pose.bodies.posing import turn
from pose.bodies.raycast import Camera, Shape, box, cone, ellipsoid, plane
from pose.calibration import Intrinsics

FloatArray = NDArray[np.float64]
POSTURES = ("standing", "lying", "empty")
# Normalised intrinsics of the phones that scan: fx / width, fy / height, cx / width, cy / height.
PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)


@dataclass(frozen=True)
class Scene:
    """Everything in the world's frame: metres, y up, the floor at y = 0.

    Attributes:
        people: the scanned child first; empty in an empty room.
        intrinsics: fx, fy, cx, cy of the phone, normalised as in the calibration file.
    """

    posture: str
    step: int
    camera: Camera
    people: list[Body]
    shapes: list[Shape]
    intrinsics: tuple[float, float, float, float]
    careful: bool


def sample_scene(
    seed: int, posture: str, size: tuple[int, int] = (240, 180), *, frame: int = 0, careful: bool = True,
    second_person: bool | None = None,
) -> Scene:  # fmt: skip
    """The scene of a seed. Frames of one seed share child, room and phone; pose and view move on.

    Args:
        posture: "standing", "lying" or "empty" (a room with furniture and things, and nobody in it).
        size: width and height of the depth map in sensor orientation.
        frame: number of the frame in the scan.
        careful: whether the scan was taken as the guidelines for scanning say: distance and angle within
            the limits of quality, and something within the sensor's reach behind the child.
        second_person: whether somebody else is there; None leaves it to chance (about one scene in nine).

    Raises:
        ValueError: the posture is none of these.
    """
    if posture not in POSTURES:
        raise ValueError(f"posture is {posture!r}, expected one of {', '.join(POSTURES)}")
    kind = POSTURES.index(posture)
    scan = np.random.default_rng([seed, kind])  # what stays the same in a scan
    pose = np.random.default_rng([seed, kind, 1, frame // 3])  # a child does not hold still
    view = np.random.default_rng([seed, kind, 2, frame])
    intrinsics = tuple(np.array(PHONE) * scan.uniform(0.97, 1.03, 4)) if scan.random() < 0.5 else PHONE
    identity, stature = int(scan.integers(2**31)), float(scan.uniform(0.50, 1.30))
    other = bool(scan.random() < 0.11) if second_person is None else second_person
    if posture == "lying" or (posture == "empty" and scan.random() < 0.5):
        step, camera, people, near = _lying(scan, pose, view, identity, stature, other, careful)
    else:
        step, camera, people, near = _standing(scan, pose, view, identity, stature, other, careful)
    if posture == "empty":
        people = []
        near = [shape for shape in near if shape.owner == -1]
    shapes = [plane("floor", np.zeros(3), np.eye(3)), *near]
    middle = people[0].joints.mean(0) if people else np.zeros(3)
    shapes += _room(scan, camera, middle, careful, crowded=posture == "empty")
    for person in people:
        shapes += person.shapes
    k = _intrinsics(intrinsics, size)
    return Scene(posture, step, replace(camera, intrinsics=k), people, shapes, intrinsics, careful)  # type: ignore[arg-type]


def _intrinsics(normalised: tuple[float, ...], size: tuple[int, int]) -> Intrinsics:
    w, h = size
    fx, fy, cx, cy = normalised
    return Intrinsics(fx * w, fy * h, cx * w, cy * h, w, h)


Parts = tuple[int, Camera, list[Body], list[Shape]]


def _standing(
    scan: np.random.Generator, pose: np.random.Generator, view: np.random.Generator,
    identity: int, stature: float, other: bool, careful: bool,
) -> Parts:  # fmt: skip
    step = int(scan.integers(100, 105))
    # Camera looks along -z at the child, so a child with yaw 0 shows its front.
    side = float(scan.choice([0, 180, 90, -90, 0])) + scan.normal(0, 18)
    yaw = side if scan.random() < 0.75 else scan.uniform(-180, 180)
    child = standing_body(pose, identity, 0, stature, yaw + view.normal(0, 4), np.zeros(3))
    distance = float(np.clip(stature / (2 * 0.737 * scan.uniform(0.5, 1.02)), 0.5, 2.3))
    distance = float(np.clip(distance, 0.65, 1.35)) if careful else distance
    distance *= view.uniform(0.95, 1.05)
    middle = np.array([0.0, stature * scan.uniform(0.42, 0.58), 0.0])
    rise = scan.uniform(-0.15, 0.35) * distance if scan.random() < 0.7 else scan.uniform(0.3, 0.9) * distance
    if careful:  # a phone held about level with the child
        rise = distance * float(np.tan(np.radians(scan.uniform(-4, 15))))
    spot = middle + np.array([view.normal(0, 0.06), max(rise, 0.15 - middle[1]), distance])
    aim = middle + view.normal(0, 0.04, 3) * distance
    camera = _phone(spot, aim - spot, np.array([0.0, 1.0, 0.0]), float(scan.normal(0, 3) + view.normal(0, 2)), 1)
    people, near = [child], []
    if other:
        aside = float(scan.choice([-1, 1])) * scan.uniform(0.28, 0.6) + scan.normal(0, 0.05)
        at = np.array([aside, 0.0, scan.uniform(-0.7, 0.15)])
        tall = float(scan.uniform(1.45, 1.75)) if scan.random() < 0.7 else float(scan.uniform(0.8, 1.3))
        people.append(standing_body(pose, identity + 1, 1, tall, float(scan.uniform(-60, 60)), at))
    if scan.random() < 0.15:  # the height board that a child is measured at
        back = np.array([0.0, 0.65, -0.16 - scan.uniform(0, 0.1)])
        near.append(box("board", back, turn("y", scan.normal(0, 10)), (scan.uniform(0.15, 0.4), 1.3, 0.03)))
    return step, camera, people, near


def _lying(
    scan: np.random.Generator, pose: np.random.Generator, view: np.random.Generator,
    identity: int, stature: float, other: bool, careful: bool,
) -> Parts:  # fmt: skip
    step = int(scan.integers(200, 205))
    roll = float(scan.choice([0, 0, 0, 0, 90, -90, 180], p=None)) + scan.normal(0, 14)
    ground, near = _bedding(scan, stature)
    at = np.array([0.0, ground, 0.5 * stature * 0.12])
    child = lying_body(pose, identity, 0, stature, roll + pose.normal(0, 4), 0.0, at)
    middle = (child.joints.min(0) + child.joints.max(0)) / 2
    distance = float(np.clip(stature / (2 * 0.737 * scan.uniform(0.45, 0.95)), 0.6, 1.9))
    distance = min(distance, 1.35) if careful else distance
    distance *= view.uniform(0.95, 1.05)
    # Who scans stands at the head (the phone then shows the feet up), at the feet or beside.
    steep = scan.uniform(62, 89) if scan.random() < 0.6 else scan.uniform(35, 65)
    azimuth = float(scan.choice([180, 0, 90, -90], p=[0.55, 0.2, 0.125, 0.125])) + scan.normal(0, 20) + view.normal(0, 4)
    out = turn("y", azimuth) @ np.array([0.0, 0.0, 1.0])
    spot = middle + distance * (out * np.cos(np.radians(steep)) + np.array([0, np.sin(np.radians(steep)), 0]))
    aim = middle + view.normal(0, 0.04, 3) * distance
    camera = _phone(spot, aim - spot, np.array([0.0, 0.0, -1.0]), float(scan.normal(0, 11) + view.normal(0, 2)), 3)
    people = [child]
    if other:  # a helper who stands beside, mostly seen as feet and legs, at times whole
        off = turn("y", scan.uniform(-180, 180)) @ np.array([0.0, 0.0, 0.35 + 0.5 * stature * scan.uniform(0.6, 1.2)])
        tall = float(scan.uniform(1.45, 1.75))
        people.append(standing_body(pose, identity + 1, 1, tall, float(scan.uniform(-180, 180)), off))
    if scan.random() < 0.2:  # hands that hold the head or the feet: their owner is out of sight
        for _ in range(int(scan.integers(1, 3))):
            hold = child.joints[int(scan.choice([0, 15, 16, 13, 14]))] + scan.normal(0, 0.04, 3)
            far = hold + turn("y", scan.uniform(-180, 180)) @ np.array([0.0, scan.uniform(0.25, 0.6), 0.6])
            near.append(cone("skin", -2, hold, far, 0.03, 0.045))
            near.append(cone("skin", -2, hold, hold + scan.normal(0, 0.04, 3), 0.032, 0.02))
    return step, camera, people, near


def _bedding(scan: np.random.Generator, stature: float) -> tuple[float, list[Shape]]:
    """What a lying child lies on, and its height."""
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
                shapes.append(box("board", np.array([side * width / 2, 0.05, 0]), np.eye(3), (0.015, 0.1, length)))
        return thick, shapes
    high = float(scan.uniform(0.35, 0.75))  # a table or a bed
    size = (scan.uniform(0.6, 1.6), high, max(1.2, stature * 1.3))
    return high, [box("bed", np.array([0, high / 2, 0]), level, size)]


def _phone(spot: FloatArray, forward: FloatArray, up: FloatArray, roll: float, turns: int) -> Camera:
    """A phone at `spot` whose picture, turned by `turns` quarters clockwise, shows `up` upwards."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    high = np.cross(right, forward)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    right, high = c * right + s * high, c * high - s * right
    # Turned once clockwise the sensor's left edge is the picture's top; turned thrice its right edge is.
    x, y = (-high, right) if turns == 1 else (high, -right)
    return Camera(_intrinsics(PHONE, (240, 180)), np.stack([x, y, -forward], axis=1), spot)


def _room(
    scan: np.random.Generator, camera: Camera, middle: FloatArray, careful: bool, *, crowded: bool
) -> list[Shape]:  # fmt: skip
    shapes: list[Shape] = []
    away = middle - camera.position
    away[1] = 0
    away = away / (np.linalg.norm(away) + 1e-9)
    walls = int(scan.choice([1, 2])) if careful else int(scan.choice([0, 1, 2], p=[0.3, 0.4, 0.3]))
    for number in range(walls):
        facing = turn("y", scan.normal(0, 22) + (scan.choice([90, -90]) if number else 0)) @ -away
        frame = np.stack([np.cross(facing, [0, 1, 0]), facing, np.array([0.0, 1.0, 0.0])], axis=1)
        gap = 0.2 + 0.3 * middle[1] if scan.random() < 0.3 else scan.uniform(0.5, 1.6 if careful else 2.5)
        shapes.append(plane("wall", middle - facing * gap, frame))
    for _ in range(int(scan.integers(2, 7)) if crowded else int(scan.integers(0, 5))):
        thing = _furniture(scan, middle) if scan.random() < 0.5 else _things(scan, middle, crowded)
        reach = 0.30 if not crowded else 0.0
        if all(_clear(shape, camera, middle, reach) for shape in thing):
            shapes += thing
    return shapes


def _clear(shape: Shape, camera: Camera, middle: FloatArray, reach: float) -> bool:
    """Whether a thing stands neither in the child nor between it and the phone."""
    size = float(np.linalg.norm(shape.half)) if shape.kind == "box" else float(shape.scale.max() * max(shape.radii))
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
    legs = [box("furniture", np.array([at[0], 0, at[2]]) + frame @ c, frame, (0.04, h, 0.04)) for c in corners]
    return [top, *legs]


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
    """A trunk, a head, ears and four legs, sitting, standing or fallen over: what is most easily taken for a child."""
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
        paw, foot = point(side * 0.2, scan.uniform(0.05, 0.4), 0.3), point(side * 0.28, 0.08, scan.uniform(0.1, 0.4))
        shapes.append(cone("thing", -1, skull + (ear - skull) * 0.5, ear, 0.3 * head, 0.35 * head))
        shapes.append(cone("thing", -1, neck, paw, 0.4 * thick, 0.35 * thick))
        shapes.append(cone("thing", -1, rump, foot, 0.45 * thick, 0.4 * thick))
    low = min(float((s.origin + s.ends[1])[1]) for s in shapes)
    lift = np.array([at[0], max(0.35 * thick - low, 0.0), at[2]])
    return [replace(s, origin=s.origin + lift) for s in shapes]
