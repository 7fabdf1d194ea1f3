"""A random scene to scan: a room, at most two people, and the phone's camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pose.scan.calibration import to_intrinsics
from pose.synthetic.companion import sample_companion, sample_stance
from pose.synthetic.person import SyntheticPerson, lying_person, standing_person
from pose.synthetic.posing import rotation_about
from pose.synthetic.raycast import Camera, Shape, box, cone, ellipsoid, plane
from pose.synthetic.room import sample_bedding, sample_room

FloatArray = NDArray[np.float64]
POSTURES = ("standing", "lying", "empty")
# Normalised intrinsics of the phones in use: fx / width, fy / height, cx / width, cy / height.
PHONE_INTRINSICS = (0.6786797, 0.90489584, 0.49585155, 0.5035042)


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene in metres, y up, the floor at y = 0.

    Attributes:
        posture: one of `POSTURES`.
        step: the scan's step, see `pose.geometry.orientation`.
        camera: has the intrinsics of a depth map of the requested size.
        people: the scanned child first; empty in an empty room.
        shapes: all volumes, including those of the people.
        intrinsics: fx, fy, cx, cy of the phone, normalised as in the calibration file.
        identity: see `sample_scene`.
    """

    posture: str
    step: int
    camera: Camera
    people: list[SyntheticPerson]
    shapes: list[Shape]
    intrinsics: tuple[float, float, float, float]
    identity: int | None = None


def sample_scene(
    seed: int,
    posture: str,
    size: tuple[int, int] = (240, 180),
    *,
    frame: int = 0,
    careful: bool = True,
    second_person: bool | None = None,
    identity: int | None = None,
    roll: float = 0.0,
    varied: bool = False,
) -> Scene:
    """Return the scene of a seed. Frames of one seed share child, room and phone; pose and view change.

    Args:
        seed: not negative.
        posture: "standing", "lying" or "empty" (a room with furniture and objects but no people).
        size: width and height of the depth map in sensor orientation.
        frame: index of the frame in the scan.
        careful: follow the scanning guidelines: distance and angle within the quality limits, and a
            background within range of the sensor behind the child.
        second_person: whether a second person is in the scene; None leaves it to chance (about one scan in
            nine has one, in two thirds of its frames).
        identity: number that decides stature, measures, skin, hair and face of the child in place of the
            seed, so that the same child appears in several scans, in clothes of other colours.
        roll: degrees by which the phone is turned clockwise, as its holder sees it, from how it is held for
            this posture.
        varied: more of what real rooms show: adults beside the child in any stance, near and far, and cut by
            the border; an adult alone; heads held up and down; steeper and farther views; blankets.

    Raises:
        ValueError: the posture is unknown, or a number is negative.
    """
    if posture not in POSTURES:
        raise ValueError(f"posture is {posture!r}, expected one of {', '.join(POSTURES)}")
    kind = POSTURES.index(posture)
    scan_rng = np.random.default_rng([seed, kind])  # constant within a scan
    pose_rng = np.random.default_rng([seed, kind, 1, frame // 3])  # the child moves every third frame
    view_rng = np.random.default_rng([seed, kind, 2, frame])
    intrinsics = PHONE_INTRINSICS
    if scan_rng.random() < 0.5:
        fx, fy, cx, cy = (np.array(PHONE_INTRINSICS) * scan_rng.uniform(0.97, 1.03, 4)).tolist()
        intrinsics = (fx, fy, cx, cy)
    body_seed, stature = int(scan_rng.integers(2**31)), float(scan_rng.uniform(0.50, 1.30))
    if identity is not None:
        person_rng = np.random.default_rng([identity, 16])
        body_seed, stature = int(person_rng.integers(2**31)), float(person_rng.uniform(0.60, 1.30))
    if second_person is None and not varied:  # present in six of nine frames
        second_person = bool(scan_rng.random() < 0.11) and (frame // 3) % 3 != seed % 3
    if posture == "lying" or (posture == "empty" and scan_rng.random() < 0.5):
        step, camera, people, near = _lying(
            scan_rng, pose_rng, view_rng, body_seed, stature, bool(second_person), careful, varied
        )
    elif varied:
        step, camera, people, near = _varied_standing(scan_rng, pose_rng, view_rng, body_seed, stature)
    else:
        step, camera, people, near = _standing(
            scan_rng, pose_rng, view_rng, body_seed, stature, bool(second_person), careful
        )
    if varied and second_person is not False and pose_rng.random() < 0.45:
        companion = sample_companion(pose_rng, body_seed + 1, 1, camera, people[0], posture == "lying")
        people += [companion] if companion else []
    if posture == "empty":
        people = []
        near = [shape for shape in near if shape.owner == -1]
    shapes = [plane("floor", np.zeros(3), np.eye(3)), *near]
    middle = people[0].joints.mean(0) if people else np.zeros(3)
    shapes += sample_room(scan_rng, camera, middle, careful, crowded=posture == "empty")
    for person in people:
        shapes += person.shapes
    camera = replace(
        camera,
        intrinsics=to_intrinsics(intrinsics, *size),
        rotation=camera.rotation @ rotation_about("z", -roll),
    )
    return Scene(posture, step, camera, people, shapes, intrinsics, identity)


Parts = tuple[int, Camera, list[SyntheticPerson], list[Shape]]


def _standing(
    scan_rng: np.random.Generator,
    pose_rng: np.random.Generator,
    view_rng: np.random.Generator,
    body_seed: int,
    stature: float,
    second_person: bool,
    careful: bool,
) -> Parts:
    step = int(scan_rng.integers(100, 105))
    # The camera looks along -z, so a child with yaw 0 shows its front.
    side = float(scan_rng.choice([0, 180, 90, -90, 0])) + scan_rng.normal(0, 18)
    yaw = side if scan_rng.random() < 0.75 else scan_rng.uniform(-180, 180)
    child = standing_person(pose_rng, body_seed, 0, stature, yaw + view_rng.normal(0, 4), np.zeros(3))
    distance = float(np.clip(stature / (2 * 0.737 * scan_rng.uniform(0.5, 1.02)), 0.5, 2.3))
    distance = float(np.clip(distance, 0.65, 1.35)) if careful else distance
    distance *= view_rng.uniform(0.95, 1.05)
    middle = np.array([0.0, stature * scan_rng.uniform(0.42, 0.58), 0.0])
    rise = (
        scan_rng.uniform(-0.15, 0.35) * distance
        if scan_rng.random() < 0.7
        else scan_rng.uniform(0.3, 0.9) * distance
    )
    if careful:  # the phone is about level with the child
        rise = distance * float(np.tan(np.radians(scan_rng.uniform(-4, 15))))
    spot = middle + np.array([view_rng.normal(0, 0.06), max(rise, 0.15 - middle[1]), distance])
    aim = middle + view_rng.normal(0, 0.04, 3) * distance
    roll = float(scan_rng.normal(0, 3) + view_rng.normal(0, 2))
    camera = _phone_camera(spot, aim - spot, np.array([0.0, 1.0, 0.0]), roll, 1)
    people, near = [child], []
    if second_person:
        (person_rng,) = scan_rng.spawn(1)  # the same room with and without a second person
        aside = float(person_rng.choice([-1, 1])) * person_rng.uniform(0.28, 0.6) + person_rng.normal(0, 0.05)
        at = np.array([aside, 0.0, person_rng.uniform(-0.7, 0.15)])
        tall = (
            float(person_rng.uniform(1.45, 1.75))
            if person_rng.random() < 0.7
            else float(person_rng.uniform(0.8, 1.3))
        )
        people.append(
            standing_person(pose_rng, body_seed + 1, 1, tall, float(person_rng.uniform(-60, 60)), at)
        )
    if scan_rng.random() < 0.15:  # a height board
        back = np.array([0.0, 0.65, -0.16 - scan_rng.uniform(0, 0.1)])
        near.append(
            box(
                "board",
                back,
                rotation_about("y", scan_rng.normal(0, 10)),
                (scan_rng.uniform(0.15, 0.4), 1.3, 0.03),
            )
        )
    return step, camera, people, near


def _varied_standing(
    scan_rng: np.random.Generator,
    pose_rng: np.random.Generator,
    view_rng: np.random.Generator,
    body_seed: int,
    stature: float,
) -> Parts:
    """Like `_standing`, from farther away and higher up, from all sides; one person in eight is an adult."""
    adult = scan_rng.random() < 0.12
    stature = float(scan_rng.uniform(1.4, 1.9)) if adult else stature
    stance = sample_stance(scan_rng) if adult and scan_rng.random() < 0.6 else None
    yaw = float(scan_rng.choice([0, 0, 180, 90, -90])) + scan_rng.normal(0, 25) + view_rng.normal(0, 4)
    pitch = scan_rng.uniform(0, 55) if scan_rng.random() < 0.5 else scan_rng.normal(12, 12)
    gaze = -pitch * pose_rng.uniform(0.3, 1.0) if pose_rng.random() < 0.7 else 0.0  # most look at the phone
    child = standing_person(pose_rng, body_seed, 0, stature, yaw, np.zeros(3), gaze=gaze, stance=stance)
    low, high = child.joints[:, 1].min(), child.joints[:, 1].max()
    middle = child.joints.mean(axis=0)
    middle[1] = low + (high - low) * scan_rng.uniform(0.4, 0.75 if adult else 0.6)
    if adult:
        distance = float(np.exp(scan_rng.uniform(np.log(0.7), np.log(4.0))))
    else:
        distance = float(np.clip(stature / (2 * 0.737 * scan_rng.uniform(0.3, 1.05)), 0.45, 3.0))
    distance *= view_rng.uniform(0.95, 1.05)
    rise = float(np.clip(distance * np.sin(np.radians(pitch)), 0.15 - middle[1], max(1.9 - middle[1], 0.0)))
    ahead = float(np.sqrt(max(distance**2 - rise**2, 0.2)))
    spot = middle + np.array([view_rng.normal(0, 0.06), rise, ahead])
    aim = middle + view_rng.normal(0, 0.06, 3) * distance
    roll = float(scan_rng.normal(0, 5) + view_rng.normal(0, 2))
    camera = _phone_camera(spot, aim - spot, np.array([0.0, 1.0, 0.0]), roll, 1)
    return int(scan_rng.integers(100, 105)), camera, [child], []


def _lying(
    scan_rng: np.random.Generator,
    pose_rng: np.random.Generator,
    view_rng: np.random.Generator,
    body_seed: int,
    stature: float,
    second_person: bool,
    careful: bool,
    varied: bool,
) -> Parts:
    step = int(scan_rng.integers(200, 205))
    roll = float(scan_rng.choice([0, 0, 0, 0, 90, -90, 180])) + scan_rng.normal(0, 14)
    ground, near = sample_bedding(scan_rng, stature)
    at = np.array([0.0, ground, 0.5 * stature * 0.12])
    child = lying_person(
        pose_rng, body_seed, 0, stature, roll + pose_rng.normal(0, 4), 0.0, at, gaze=0.0 if varied else None
    )
    middle = (child.joints.min(0) + child.joints.max(0)) / 2
    distance = float(np.clip(stature / (2 * 0.737 * scan_rng.uniform(0.45, 0.95)), 0.6, 1.9))
    distance = min(distance, 1.35) if careful else distance
    distance *= view_rng.uniform(0.95, 1.05)
    # The operator stands at the head (the feet are then up in the picture), at the feet or beside the child.
    steep = scan_rng.uniform(62, 89) if scan_rng.random() < 0.6 else scan_rng.uniform(35, 65)
    azimuth = float(scan_rng.choice([180, 0, 90, -90], p=[0.55, 0.2, 0.125, 0.125]))
    azimuth = azimuth + scan_rng.normal(0, 20) + view_rng.normal(0, 4)
    out = rotation_about("y", azimuth) @ np.array([0.0, 0.0, 1.0])
    spot = middle + distance * (out * np.cos(np.radians(steep)) + np.array([0, np.sin(np.radians(steep)), 0]))
    aim = middle + view_rng.normal(0, 0.04, 3) * distance
    tilt = float(scan_rng.normal(0, 11) + view_rng.normal(0, 2))
    camera = _phone_camera(spot, aim - spot, np.array([0.0, 0.0, -1.0]), tilt, 3)
    people = [child]
    if varied and scan_rng.random() < 0.12:
        near = [*near, _blanket(scan_rng, child)]
    if second_person:  # a helper beside the child: mostly feet and legs are in view
        (person_rng,) = scan_rng.spawn(1)
        towards = rotation_about("y", person_rng.uniform(-180, 180))
        off = towards @ np.array([0.0, 0.0, 0.35 + 0.5 * stature * person_rng.uniform(0.6, 1.2)])
        tall = float(person_rng.uniform(1.45, 1.75))
        people.append(
            standing_person(pose_rng, body_seed + 1, 1, tall, float(person_rng.uniform(-180, 180)), off)
        )
    if scan_rng.random() < 0.2:  # hands that hold head or feet, of a person out of view
        for _ in range(int(scan_rng.integers(1, 3))):
            hold = child.joints[int(scan_rng.choice([0, 15, 16, 13, 14]))] + scan_rng.normal(0, 0.04, 3)
            elbow = hold + rotation_about("y", scan_rng.uniform(-180, 180)) @ np.array(
                [0.0, scan_rng.uniform(0.25, 0.6), 0.6]
            )
            near.append(cone("skin", -2, hold, elbow, 0.03, 0.045))
            near.append(cone("skin", -2, hold, hold + scan_rng.normal(0, 0.04, 3), 0.032, 0.02))
    return step, camera, people, near


def _blanket(rng: np.random.Generator, child: SyntheticPerson) -> Shape:
    """Return a blanket over the legs of a lying child, up to the hips or the waist."""
    hips, feet = child.joints[[11, 12]].mean(axis=0), child.joints[[15, 16]].mean(axis=0)
    along = feet - hips
    length = float(np.linalg.norm(along)) + 1e-6
    frame = rotation_about("y", np.degrees(np.arctan2(along[0], along[2])))
    top = min(child.joints[11:, 1].max() + 0.04, 0.3)
    radii = (rng.uniform(0.2, 0.4), top, length * rng.uniform(0.6, 0.75))
    return ellipsoid("mat", -1, (hips + feet) / 2 * np.array([1.0, 0.0, 1.0]), frame, radii, wrinkle=0.008)


def _phone_camera(spot: FloatArray, forward: FloatArray, up: FloatArray, roll: float, turns: int) -> Camera:
    """Return a camera at `spot` whose picture, after `turns` quarter turns clockwise, shows `up` upwards."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    high = np.cross(right, forward)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    right, high = c * right + s * high, c * high - s * right
    # After one turn clockwise the sensor's left edge is on top, after three turns its right edge.
    x, y = (-high, right) if turns == 1 else (high, -right)
    return Camera(to_intrinsics(PHONE_INTRINSICS, 240, 180), np.stack([x, y, -forward], axis=1), spot)
