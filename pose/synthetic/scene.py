"""A scene to be scanned: a room, at most two people, and the phone that looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose.scan.calibration import to_intrinsics
from pose.synthetic.person import SyntheticPerson, lying_person, standing_person
from pose.synthetic.posing import turn
from pose.synthetic.raycast import Camera, Shape, box, cone, plane
from pose.synthetic.room import sample_bedding, sample_room

FloatArray = NDArray[np.float64]
POSTURES = ("standing", "lying", "empty")
# Normalised intrinsics of the phones that scan: fx / width, fy / height, cx / width, cy / height.
PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything in the world's frame: metres, y up, the floor at y = 0.

    Attributes:
        posture: one of `POSTURES`.
        step: of the scan, see `pose.geometry.orientation`.
        camera: with the intrinsics of a picture of the size that was asked for.
        people: the scanned child first; empty in an empty room.
        shapes: all volumes, those of the people included.
        intrinsics: fx, fy, cx, cy of the phone, normalised as in the calibration file.
        careful, looks: see `sample_scene`.
    """

    posture: str
    step: int
    camera: Camera
    people: list[SyntheticPerson]
    shapes: list[Shape]
    intrinsics: tuple[float, float, float, float]
    careful: bool
    looks: int | None = None


def sample_scene(
    seed: int,
    posture: str,
    size: tuple[int, int] = (240, 180),
    *,
    frame: int = 0,
    careful: bool = True,
    second_person: bool | None = None,
    looks: int | None = None,
) -> Scene:
    """The scene of a seed. Frames of one seed share child, room and phone; pose and view move on.

    Args:
        seed: not negative.
        posture: "standing", "lying" or "empty" (a room with furniture and things, and nobody in it).
        size: width and height of the depth map in sensor orientation.
        frame: number of the frame in the scan.
        careful: whether the scan was taken as the guidelines for scanning say: distance and angle within
            the limits of quality, and something within the sensor's reach behind the child.
        second_person: whether somebody else is there; None leaves it to chance: in about one scan in nine
            somebody is, in two thirds of the frames.
        looks: who the child is: stature, measures, skin, hair and face come from this number and not from
            the seed, so that one child can be met again elsewhere, in clothes of another colour.

    Raises:
        ValueError: the posture is none of these, or a number is negative.
    """
    if posture not in POSTURES:
        raise ValueError(f"posture is {posture!r}, expected one of {', '.join(POSTURES)}")
    kind = POSTURES.index(posture)
    scan = np.random.default_rng([seed, kind])  # what stays the same in a scan
    pose = np.random.default_rng([seed, kind, 1, frame // 3])  # a child does not hold still
    view = np.random.default_rng([seed, kind, 2, frame])
    intrinsics = PHONE
    if scan.random() < 0.5:
        fx, fy, cx, cy = (np.array(PHONE) * scan.uniform(0.97, 1.03, 4)).tolist()
        intrinsics = (fx, fy, cx, cy)
    identity, stature = int(scan.integers(2**31)), float(scan.uniform(0.50, 1.30))
    if looks is not None:
        who = np.random.default_rng([looks, 16])
        identity, stature = int(who.integers(2**31)), float(who.uniform(0.60, 1.30))
    if second_person is None:  # who comes in goes again: three of nine frames show the child alone
        second_person = bool(scan.random() < 0.11) and (frame // 3) % 3 != seed % 3
    if posture == "lying" or (posture == "empty" and scan.random() < 0.5):
        step, camera, people, near = _lying(scan, pose, view, identity, stature, second_person, careful)
    else:
        step, camera, people, near = _standing(scan, pose, view, identity, stature, second_person, careful)
    if posture == "empty":
        people = []
        near = [shape for shape in near if shape.owner == -1]
    shapes = [plane("floor", np.zeros(3), np.eye(3)), *near]
    middle = people[0].joints.mean(0) if people else np.zeros(3)
    shapes += sample_room(scan, camera, middle, careful, crowded=posture == "empty")
    for person in people:
        shapes += person.shapes
    camera = replace(camera, intrinsics=to_intrinsics(intrinsics, *size))
    return Scene(posture, step, camera, people, shapes, intrinsics, careful, looks)


Parts = tuple[int, Camera, list[SyntheticPerson], list[Shape]]


def _standing(
    scan: np.random.Generator,
    pose: np.random.Generator,
    view: np.random.Generator,
    identity: int,
    stature: float,
    other: bool,
    careful: bool,
) -> Parts:
    step = int(scan.integers(100, 105))
    # Camera looks along -z at the child, so a child with yaw 0 shows its front.
    side = float(scan.choice([0, 180, 90, -90, 0])) + scan.normal(0, 18)
    yaw = side if scan.random() < 0.75 else scan.uniform(-180, 180)
    child = standing_person(pose, identity, 0, stature, yaw + view.normal(0, 4), np.zeros(3))
    distance = float(np.clip(stature / (2 * 0.737 * scan.uniform(0.5, 1.02)), 0.5, 2.3))
    distance = float(np.clip(distance, 0.65, 1.35)) if careful else distance
    distance *= view.uniform(0.95, 1.05)
    middle = np.array([0.0, stature * scan.uniform(0.42, 0.58), 0.0])
    rise = scan.uniform(-0.15, 0.35) * distance if scan.random() < 0.7 else scan.uniform(0.3, 0.9) * distance
    if careful:  # a phone held about level with the child
        rise = distance * float(np.tan(np.radians(scan.uniform(-4, 15))))
    spot = middle + np.array([view.normal(0, 0.06), max(rise, 0.15 - middle[1]), distance])
    aim = middle + view.normal(0, 0.04, 3) * distance
    roll = float(scan.normal(0, 3) + view.normal(0, 2))
    camera = _phone(spot, aim - spot, np.array([0.0, 1.0, 0.0]), roll, 1)
    people, near = [child], []
    if other:
        (who,) = scan.spawn(1)  # the room stays the same whether or not somebody comes in
        aside = float(who.choice([-1, 1])) * who.uniform(0.28, 0.6) + who.normal(0, 0.05)
        at = np.array([aside, 0.0, who.uniform(-0.7, 0.15)])
        tall = float(who.uniform(1.45, 1.75)) if who.random() < 0.7 else float(who.uniform(0.8, 1.3))
        people.append(standing_person(pose, identity + 1, 1, tall, float(who.uniform(-60, 60)), at))
    if scan.random() < 0.15:  # the height board that a child is measured at
        back = np.array([0.0, 0.65, -0.16 - scan.uniform(0, 0.1)])
        near.append(box("board", back, turn("y", scan.normal(0, 10)), (scan.uniform(0.15, 0.4), 1.3, 0.03)))
    return step, camera, people, near


def _lying(
    scan: np.random.Generator,
    pose: np.random.Generator,
    view: np.random.Generator,
    identity: int,
    stature: float,
    other: bool,
    careful: bool,
) -> Parts:
    step = int(scan.integers(200, 205))
    roll = float(scan.choice([0, 0, 0, 0, 90, -90, 180])) + scan.normal(0, 14)
    ground, near = sample_bedding(scan, stature)
    at = np.array([0.0, ground, 0.5 * stature * 0.12])
    child = lying_person(pose, identity, 0, stature, roll + pose.normal(0, 4), 0.0, at)
    middle = (child.joints.min(0) + child.joints.max(0)) / 2
    distance = float(np.clip(stature / (2 * 0.737 * scan.uniform(0.45, 0.95)), 0.6, 1.9))
    distance = min(distance, 1.35) if careful else distance
    distance *= view.uniform(0.95, 1.05)
    # Who scans stands at the head (the phone then shows the feet up), at the feet or beside.
    steep = scan.uniform(62, 89) if scan.random() < 0.6 else scan.uniform(35, 65)
    azimuth = float(scan.choice([180, 0, 90, -90], p=[0.55, 0.2, 0.125, 0.125]))
    azimuth = azimuth + scan.normal(0, 20) + view.normal(0, 4)
    out = turn("y", azimuth) @ np.array([0.0, 0.0, 1.0])
    spot = middle + distance * (out * np.cos(np.radians(steep)) + np.array([0, np.sin(np.radians(steep)), 0]))
    aim = middle + view.normal(0, 0.04, 3) * distance
    tilt = float(scan.normal(0, 11) + view.normal(0, 2))
    camera = _phone(spot, aim - spot, np.array([0.0, 0.0, -1.0]), tilt, 3)
    people = [child]
    if other:  # a helper who stands beside, mostly seen as feet and legs, at times whole
        (who,) = scan.spawn(1)
        towards = turn("y", who.uniform(-180, 180))
        off = towards @ np.array([0.0, 0.0, 0.35 + 0.5 * stature * who.uniform(0.6, 1.2)])
        tall = float(who.uniform(1.45, 1.75))
        people.append(standing_person(pose, identity + 1, 1, tall, float(who.uniform(-180, 180)), off))
    if scan.random() < 0.2:  # hands that hold the head or the feet: their owner is out of sight
        for _ in range(int(scan.integers(1, 3))):
            hold = child.joints[int(scan.choice([0, 15, 16, 13, 14]))] + scan.normal(0, 0.04, 3)
            far = hold + turn("y", scan.uniform(-180, 180)) @ np.array([0.0, scan.uniform(0.25, 0.6), 0.6])
            near.append(cone("skin", -2, hold, far, 0.03, 0.045))
            near.append(cone("skin", -2, hold, hold + scan.normal(0, 0.04, 3), 0.032, 0.02))
    return step, camera, people, near


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
    return Camera(to_intrinsics(PHONE, 240, 180), np.stack([x, y, -forward], axis=1), spot)
