"""A rendered person: measures, pose and clothes, placed in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.synthetic.dressing import Clothes, dress
from pose.synthetic.posing import Posed, sample_pose, settle, turn
from pose.synthetic.proportions import Measures, sample_measures
from pose.synthetic.raycast import Shape

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SyntheticPerson:
    """A person placed in the world.

    Attributes:
        joints: (17, 3) true joints in metres, y above the floor.
        radii: (17,) how far a joint may lie below the skin that hides it, in metres.
        shapes: its volumes.
        head: frame (3, 3) with columns left, up and front, middle (3,) and radii (3,) of the skull.
    """

    measures: Measures
    clothes: Clothes
    joints: FloatArray
    radii: FloatArray
    shapes: list[Shape]
    head: tuple[FloatArray, FloatArray, FloatArray]

    @property
    def length(self) -> float:
        """The longer of both chains eye, hip, knee, ankle (metres), as a Skeleton gives it."""
        chains = (self.joints[list(chain)] for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN))
        return max(float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum()) for chain in chains)


def standing_person(
    rng: np.random.Generator, identity: int, owner: int, stature: float, yaw: float, at: FloatArray
) -> SyntheticPerson:
    """A person on its feet.

    Args:
        rng: draws the pose; the same `identity` and `stature` give the same person in another pose.
        owner: the person's number in its scene.
        stature: metres.
        yaw: degrees about the vertical; 0 looks along +z.
        at: (3,) metres, the ground below the middle between its hips.
    """
    m = sample_measures(np.random.default_rng(identity), stature)
    posed = sample_pose(rng, m, lying=False)
    lean = turn("y", yaw) @ turn("x", rng.normal(0, 2.5)) @ turn("z", rng.normal(0, 2))
    posed = posed.place(lean, np.zeros(3))
    sole = min(min(posed.extra[f"{p}{r}"][1] for p in ("heel", "toes") for r in (0, 1)) - 0.3 * m.ankle, 0.0)
    posed = posed.place(np.eye(3), at - np.array([0.0, sole, 0.0]))
    return _dressed(identity, owner, m, posed)


def lying_person(
    rng: np.random.Generator,
    identity: int,
    owner: int,
    stature: float,
    roll: float,
    heading: float,
    at: FloatArray,
) -> SyntheticPerson:
    """A person that lies.

    Args:
        rng, identity, owner, stature: as of `standing_person`.
        roll: degrees; 0 lies on the back, 90 on the left side, -90 on the right, 180 on the belly.
        heading: degrees; 0 puts the head towards -z, counter-clockwise seen from above.
        at: (3,) metres, the ground below its hips: y is the ground's height.
    """
    m = sample_measures(np.random.default_rng(identity), stature)
    posed = sample_pose(rng, m, lying=True)
    flat = turn("y", heading) @ turn("x", -90 + rng.normal(0, 3)) @ turn("y", roll)
    posed = posed.place(flat, np.zeros(3))
    side = abs(np.sin(np.radians(roll)))
    trunk = (1 - side) * max(m.hip_depth, m.chest_depth) + side * 0.95 * max(m.hip_width, m.half_shoulders)
    posed = posed.place(np.eye(3), np.array([at[0], at[1] + 0.95 * trunk, at[2]]))
    return _dressed(identity, owner, m, settle(posed, m, float(at[1]), rng))


def _dressed(identity: int, owner: int, m: Measures, posed: Posed) -> SyntheticPerson:
    # Clothes come from the identity, so that a child wears the same in all frames of a scan.
    clothes, shapes, radii = dress(np.random.default_rng([identity, 1]), m, posed, owner)
    skull = np.array([m.head_breadth, m.head_height, m.head_length]) / 2
    return SyntheticPerson(
        m, clothes, posed.joints, radii, shapes, (posed.frames["head"], posed.extra["head"], skull)
    )
