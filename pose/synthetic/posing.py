"""Random poses of a standing or lying child: joint angles, and the joints by forward kinematics.

The body frame has its origin between the hip joints; x points to the person's left, y to the head, z to the
front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.synthetic.proportions import Measures

FloatArray = NDArray[np.float64]
DOWN = np.array([0.0, -1.0, 0.0])


def rotation_about(axis: str, degrees: float) -> FloatArray:
    """Return the rotation matrix (3, 3) about the axis x, y or z, counter-clockwise seen from its tip.

    >>> rotation_about("z", 90).round() @ [1, 0, 0]
    array([0., 1., 0.])
    """
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


@dataclass(frozen=True)
class Stance:
    """How a person is bent, in degrees: the trunk forward; hips and knees, 0 if straight."""

    lean: float
    hips: float
    knees: float


@dataclass
class BodyPose:
    """Joints and frames of a body, first in the body frame, after `transform` in the scene.

    Attributes:
        joints: (17, 3) the COCO keypoints: limb joints inside the body, face points on the skin.
        landmarks: more points (3,): "neck", "chin", "head"; on the left side "hand0", "heel0" and "toes0",
            on the right side the same with 1.
        frames: rotations (3, 3) of "pelvis", "chest" and "head"; columns are left, up and front.
    """

    joints: FloatArray
    landmarks: dict[str, FloatArray]
    frames: dict[str, FloatArray]

    def transform(self, rotation: FloatArray, offset: FloatArray) -> BodyPose:
        """Return the pose rotated, then moved."""
        return BodyPose(
            self.joints @ rotation.T + offset,
            {name: rotation @ point + offset for name, point in self.landmarks.items()},
            {name: rotation @ frame for name, frame in self.frames.items()},
        )


def _arm(rng: np.random.Generator, lying: bool, side: int) -> tuple[FloatArray, FloatArray]:
    """Return rotations of upper arm and forearm in the chest frame; both point along their own -y."""
    style = rng.random()
    if style < (0.35 if lying else 0.62):  # along the body
        abduct, flex, elbow = rng.uniform(3, 40), rng.normal(0, 14), abs(rng.normal(12, 18))
    elif style < 0.75:  # anywhere in front and beside
        abduct, flex, elbow = rng.uniform(0, 100), rng.uniform(-30, 90), rng.uniform(0, 130)
    elif style < 0.90:  # raised, common for babies on their back
        abduct, flex, elbow = rng.uniform(70, 165), rng.normal(0, 20), rng.uniform(0, 120)
    else:  # hands on the belly, at the mouth, on the hips
        abduct, flex, elbow = rng.uniform(0, 55), rng.uniform(-35, 40), rng.uniform(60, 140)
    spin = rng.uniform(-90, 30) if style >= 0.62 else rng.uniform(-50, 20)
    upper = rotation_about("z", side * abduct) @ rotation_about("x", -flex) @ rotation_about("y", side * spin)
    return upper, upper @ rotation_about("x", -elbow)


def _leg(
    rng: np.random.Generator, lying: bool, side: int, stance: Stance | None
) -> tuple[FloatArray, FloatArray]:
    """Return rotations of thigh and shank in the pelvis frame; both point along their own -y."""
    if stance is not None:
        abduct, flex, knee = rng.normal(9, 7), rng.normal(stance.hips, 4), rng.normal(stance.knees, 4)
    elif not lying:
        if rng.random() < 0.85:
            abduct, flex, knee = rng.normal(5, 4), rng.normal(2, 6), abs(rng.normal(3, 7))
        else:  # a step, a bent knee, a slight squat
            abduct, flex, knee = rng.normal(8, 7), rng.normal(12, 18), abs(rng.normal(15, 18))
    elif rng.random() < 0.5:
        abduct, flex, knee = rng.normal(8, 8), abs(rng.normal(5, 12)), abs(rng.normal(10, 15))
    else:
        abduct, flex, knee = rng.uniform(0, 60), rng.uniform(0, 95), rng.uniform(0, 115)
    spin = rng.normal(8, 10) if not lying else rng.uniform(-15, 45)
    thigh = rotation_about("z", side * abduct) @ rotation_about("x", -flex) @ rotation_about("y", side * spin)
    return thigh, thigh @ rotation_about("x", max(knee, 0.0))


def sample_pose(
    rng: np.random.Generator,
    m: Measures,
    *,
    lying: bool,
    gaze: float | None = None,
    stance: Stance | None = None,
) -> BodyPose:
    """Return a random pose in the body frame, in metres: mostly relaxed, sometimes extreme.

    Args:
        gaze: degrees by which the head is lowered on average, with a wide spread, below 0 for a child who
            looks up to the phone; None for heads that are about level with the chest.
        stance: None for straight legs or, sometimes, a step.
    """
    bend = 1.0 if rng.random() < 0.8 else 2.2
    pelvis = np.eye(3)
    chest = (
        rotation_about("y", rng.normal(0, 5 * bend))
        @ rotation_about("z", rng.normal(0, 4 * bend))
        @ rotation_about("x", rng.normal(2, 5 * bend))
    )
    yaw = rng.normal(0, 18) if rng.random() < 0.75 else rng.uniform(-75, 75)
    head = (
        chest
        @ rotation_about("y", yaw)
        @ rotation_about("z", rng.normal(0, 8))
        @ rotation_about("x", rng.normal(4, 11) if gaze is None else rng.normal(gaze, 15))
    )

    neck = pelvis[:, 1] * m.spine * 0.5 + chest[:, 1] * m.spine * 0.5
    chin = neck + (0.5 * chest[:, 1] + 0.5 * head[:, 1]) * m.neck
    # The chin lies in front of the neck: the head's middle is above the neck, not above the chin.
    skull = chin + head[:, 1] * (0.5 * m.head_height) + head[:, 2] * (0.06 * m.head_length)

    j = np.zeros((17, 3))
    landmarks = {"neck": neck, "chin": chin, "head": skull}
    j[list(kp.HEAD)] = skull + face_points(m) @ head.T
    for side, left in ((1, True), (-1, False)):
        shoulder = neck + side * m.half_shoulders * chest[:, 0] + rng.normal(0, 0.006) * chest[:, 1]
        upper, fore = (chest @ f for f in _arm(rng, lying, side))
        elbow = shoulder + upper @ DOWN * m.upper_arm
        wrist = elbow + fore @ DOWN * m.forearm
        hip = side * m.half_hips * pelvis[:, 0]
        thigh, shank = (pelvis @ f for f in _leg(rng, lying, side, stance))
        knee = hip + thigh @ DOWN * (m.hip_height - m.knee_height)
        ankle = knee + shank @ DOWN * (m.knee_height - m.ankle_height)
        row = 0 if left else 1
        j[[5 + row, 7 + row, 9 + row]] = shoulder, elbow, wrist
        j[[11 + row, 13 + row, 15 + row]] = hip, knee, ankle
        hand_bend = rotation_about("x", rng.normal(-10, 15)) @ rotation_about("z", rng.normal(0, 12))
        landmarks[f"hand{row}"] = wrist + fore @ hand_bend @ DOWN * m.hand
        point = rng.normal(0, 6) if not lying else rng.normal(35, 18)
        toes = (
            shank
            @ rotation_about("x", point)
            @ rotation_about("y", side * rng.normal(8, 8))
            @ np.array([0.0, 0.0, 1.0])
        )
        landmarks[f"heel{row}"] = (
            ankle - shank[:, 1] * (m.ankle_height - 0.35 * m.ankle) - 0.16 * m.foot * toes
        )
        landmarks[f"toes{row}"] = landmarks[f"heel{row}"] + toes * (0.80 * m.foot)
    return BodyPose(j, landmarks, {"pelvis": pelvis, "chest": chest, "head": head})


def face_points(m: Measures) -> FloatArray:
    """Return nose, eyes and ears (5, 3) on the surface of the head: metres from its centre, head frame."""
    b, h, length = m.head_breadth / 2, m.head_height / 2, m.head_length / 2
    eye_y = -0.04 * h
    eye_x = 0.43 * b
    eye_z = length * float(np.sqrt(max(1 - 0.43**2 - 0.04**2, 0)))
    return np.array(
        [
            [0.0, -0.33 * h, 1.06 * length],
            [eye_x, eye_y, eye_z],
            [-eye_x, eye_y, eye_z],
            [1.02 * b, -0.12 * h, -0.05 * length],
            [-1.02 * b, -0.12 * h, -0.05 * length],
        ]
    )


def reach(body_pose: BodyPose, m: Measures, row: int, target: FloatArray) -> None:
    """Move an arm so that its wrist is at `target` (3,), or as near as it gets. Row 0 is the left arm.

    The elbow follows from the law of cosines, and lies below and outside.
    """
    j = body_pose.joints
    shoulder, upper, fore = j[5 + row], m.upper_arm, m.forearm
    away = target - shoulder
    distance = float(np.clip(np.linalg.norm(away), abs(upper - fore) + 0.02, 0.98 * (upper + fore)))
    away = away / (np.linalg.norm(away) + 1e-9)
    out = DOWN + (1 - 2 * row) * 0.6 * body_pose.frames["chest"][:, 0]
    out = out - (out @ away) * away
    out /= np.linalg.norm(out) + 1e-9
    along = (upper**2 - fore**2 + distance**2) / (2 * distance)
    j[7 + row] = shoulder + along * away + np.sqrt(max(upper**2 - along**2, 0.0)) * out
    j[9 + row] = shoulder + distance * away
    hand = j[9 + row] - j[7 + row]
    body_pose.landmarks[f"hand{row}"] = j[9 + row] + hand / np.linalg.norm(hand) * m.hand


# A joint that may touch the ground, its parent joint, and the measure that is the body's radius there.
_CHAINS = (
    (kp.LEFT_ELBOW, kp.LEFT_SHOULDER, "elbow"), (kp.RIGHT_ELBOW, kp.RIGHT_SHOULDER, "elbow"),
    (kp.LEFT_WRIST, kp.LEFT_ELBOW, "wrist"), (kp.RIGHT_WRIST, kp.RIGHT_ELBOW, "wrist"),
    (kp.LEFT_KNEE, kp.LEFT_HIP, "knee"), (kp.RIGHT_KNEE, kp.RIGHT_HIP, "knee"),
    (kp.LEFT_ANKLE, kp.LEFT_KNEE, "ankle"), (kp.RIGHT_ANKLE, kp.RIGHT_KNEE, "ankle"),
)  # fmt: skip


def rest_on_ground(body_pose: BodyPose, m: Measures, ground: float, rng: np.random.Generator) -> BodyPose:
    """Keep the limbs of a lying body above the ground and let most of them rest on it.

    A segment that ends below the ground, or that is relaxed, is rotated about its upper joint until its end
    rests on the ground. Segments keep their length.
    """
    j, landmarks = body_pose.joints.copy(), dict(body_pose.landmarks)
    for child, parent, part in _CHAINS:
        rest = ground + getattr(m, part)
        segment = body_pose.joints[child] - body_pose.joints[parent]
        length = float(np.linalg.norm(segment))
        target = j[parent, 1] + segment[1]
        knee = child in (kp.LEFT_KNEE, kp.RIGHT_KNEE)
        if target < rest or (not knee and rng.random() < 0.6):
            target = rest
        rise = float(np.clip(target - j[parent, 1], -0.97 * length, 0.97 * length))
        flat = np.hypot(segment[0], segment[2])
        across = np.sqrt(length**2 - rise**2)
        if flat < 1e-6:
            segment, flat = segment + np.array([1e-3, 0, 0]), 1e-3
        j[child] = j[parent] + np.array([segment[0] / flat * across, rise, segment[2] / flat * across])
    for row, wrist, ankle in ((0, kp.LEFT_WRIST, kp.LEFT_ANKLE), (1, kp.RIGHT_WRIST, kp.RIGHT_ANKLE)):
        for name, at, radius in (
            (f"hand{row}", wrist, m.wrist),
            (f"heel{row}", ankle, m.ankle),
            (f"toes{row}", ankle, 0.4 * m.ankle),
        ):
            moved = landmarks[name] + (j[at] - body_pose.joints[at])
            moved[1] = max(moved[1], ground + radius)
            landmarks[name] = moved
    return BodyPose(j, landmarks, body_pose.frames)
