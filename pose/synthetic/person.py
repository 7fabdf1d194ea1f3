"""A synthetic person: measures, pose and clothes, placed in the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.synthetic.dressing import Clothes, dress
from pose.synthetic.posing import BodyPose, Stance, reach, rest_on_ground, rotation_about, sample_pose
from pose.synthetic.proportions import Measures, sample_measures
from pose.synthetic.raycast import Shape

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SyntheticPerson:
    """A person placed in the scene.

    Attributes:
        joints: (17, 3) true joints in metres, y above the floor.
        max_joint_depths: (17,) metres. A joint that is farther below the visible surface is hidden.
        shapes: the volumes of body, hair and clothes.
        head: rotation (3, 3) with columns left, up and front, centre (3,) and radii (3,) of the skull.
    """

    measures: Measures
    clothes: Clothes
    joints: FloatArray
    max_joint_depths: FloatArray
    shapes: list[Shape]
    head: tuple[FloatArray, FloatArray, FloatArray]

    @property
    def owner(self) -> int:
        """The person's number in the scene."""
        return self.shapes[0].owner

    @property
    def length(self) -> float:
        """Length of the chain eye, hip, knee, ankle in metres, the longer of both sides (see `Skeleton`)."""
        chains = (self.joints[list(chain)] for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN))
        return max(float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum()) for chain in chains)


def standing_person(
    rng: np.random.Generator,
    body_seed: int,
    owner: int,
    stature: float,
    yaw: float,
    at: FloatArray,
    *,
    gaze: float | None = None,
    stance: Stance | None = None,
    hold: FloatArray | None = None,
) -> SyntheticPerson:
    """Return a person on its feet.

    Args:
        rng: draws the pose.
        body_seed: decides measures and clothes. The same seed and stature give the same person.
        owner: the person's number in the scene.
        stature: metres.
        yaw: degrees about the vertical; at 0 the person faces +z.
        at: (3,) metres, the point on the ground below the middle of the hips.
        gaze: see `sample_pose`.
        stance: how the person bends; the lowest of feet, knees and hips is then on the ground.
        hold: (N, 3) points of which each hand takes one; None leaves the arms as they are.
    """
    m = sample_measures(np.random.default_rng(body_seed), stature)
    body_pose = sample_pose(rng, m, lying=False, gaze=gaze, stance=stance)
    forward = stance.lean if stance else 0.0
    lean = rotation_about("y", yaw) @ rotation_about("x", forward + rng.normal(0, 2.5))
    lean = lean @ rotation_about("z", rng.normal(0, 2))
    body_pose = body_pose.transform(lean, np.zeros(3))
    feet = [body_pose.landmarks[f"{part}{side}"][1] for part in ("heel", "toes") for side in (0, 1)]
    sole = min(min(feet) - 0.3 * m.ankle, 0.0)
    if stance:
        low = body_pose.joints[:, 1]
        sole = min(sole, low[[13, 14]].min() - m.knee, low[[11, 12]].min() - 1.2 * m.thigh)
    body_pose = body_pose.transform(np.eye(3), at - np.array([0.0, sole, 0.0]))
    if hold is not None:
        for row in (0, 1):
            reach(body_pose, m, row, hold[rng.integers(len(hold))] + rng.normal(0, 0.04, 3))
    return _dressed(body_seed, owner, m, body_pose)


def lying_person(
    rng: np.random.Generator,
    body_seed: int,
    owner: int,
    stature: float,
    roll: float,
    heading: float,
    at: FloatArray,
    *,
    gaze: float | None = None,
) -> SyntheticPerson:
    """Return a person lying on the ground.

    Args:
        rng, body_seed, owner, stature: as for `standing_person`.
        roll: degrees; 0 lies on the back, 90 on the left side, -90 on the right, 180 on the belly.
        heading: degrees; at 0 the head points to -z, counter-clockwise seen from above.
        at: (3,) metres, the point on the ground below the hips; its y is the height of the ground.
        gaze: see `sample_pose`.
    """
    m = sample_measures(np.random.default_rng(body_seed), stature)
    body_pose = sample_pose(rng, m, lying=True, gaze=gaze)
    flat = rotation_about("y", heading) @ rotation_about("x", -90 + rng.normal(0, 3))
    body_pose = body_pose.transform(flat @ rotation_about("y", roll), np.zeros(3))
    side = abs(np.sin(np.radians(roll)))
    trunk = (1 - side) * max(m.hip_depth, m.chest_depth) + side * 0.95 * max(m.hip_width, m.half_shoulders)
    body_pose = body_pose.transform(np.eye(3), np.array([at[0], at[1] + 0.95 * trunk, at[2]]))
    return _dressed(body_seed, owner, m, rest_on_ground(body_pose, m, float(at[1]), rng))


def _dressed(body_seed: int, owner: int, m: Measures, body_pose: BodyPose) -> SyntheticPerson:
    # The clothes depend on the person alone, so a child wears the same in all frames of a scan.
    clothes, shapes, max_joint_depths = dress(np.random.default_rng([body_seed, 1]), m, body_pose, owner)
    skull = np.array([m.head_breadth, m.head_height, m.head_length]) / 2
    head = (body_pose.frames["head"], body_pose.landmarks["head"], skull)
    return SyntheticPerson(m, clothes, _annotated(body_pose.joints), max_joint_depths, shapes, head)


def _annotated(joints: FloatArray) -> FloatArray:
    """Return joints (17, 3) where annotators of COCO put them: knees and ankles are lower.

    The shares of the shank were measured on real depth maps of children whose joints people marked.
    """
    out = joints.copy()
    shanks = joints[[15, 16]] - joints[[13, 14]]
    out[[13, 14]] += 0.08 * shanks
    out[[15, 16]] += 0.07 * shanks
    return out
