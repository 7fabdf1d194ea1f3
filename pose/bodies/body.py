"""A rendered person: measures, pose and clothes as smooth volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.bodies.anatomy import Measures, sample_measures
from pose.bodies.posing import Posed, sample_pose, settle, turn
from pose.bodies.raycast import Shape, cone, ellipsoid, squeezed_cone

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Clothes:
    """What a person wears: factors on the flesh below, 1.0 where the skin is bare."""

    top: float
    sleeves: float
    long_sleeves: bool
    trousers: float
    long_trousers: bool
    skirt: float  # length as a share of the thigh's and shank's, 0 for none
    diaper: bool
    shoes: bool
    hair: str  # "none" | "short" | "long" | "bun" | "hat"
    hair_volume: float


@dataclass(frozen=True)
class Body:
    """A person placed in the world.

    Attributes:
        joints: (17, 3) true joints in metres, y above the floor.
        radii: (17,) how far a joint may lie below the skin that hides it, in metres.
        shapes: its volumes; `head` is the frame (3, 3), the middle (3,) and the radii (3,) of the skull.
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


def sample_clothes(rng: np.random.Generator, stature: float) -> Clothes:
    baby = stature < 0.8
    skirt = float(rng.uniform(0.25, 0.75)) if rng.random() < (0.10 if baby else 0.22) else 0.0
    return Clothes(
        top=1.0 if rng.random() < 0.25 else float(rng.uniform(1.04, 1.30)),
        sleeves=1.0 if rng.random() < 0.3 else float(rng.uniform(1.1, 1.75)),
        long_sleeves=bool(rng.random() < 0.4),
        trousers=1.0 if rng.random() < 0.35 else float(rng.uniform(1.05, 1.5)),
        long_trousers=bool(rng.random() < 0.55),
        skirt=skirt,
        diaper=bool(rng.random() < (0.6 if baby else 0.1)),
        shoes=bool(rng.random() < 0.3),
        hair=str(rng.choice(["none", "short", "long", "bun", "hat"], p=[0.2, 0.42, 0.18, 0.1, 0.1])),
        hair_volume=float(rng.uniform(1.03, 1.22)),
    )


def standing_body(
    rng: np.random.Generator, identity: int, owner: int, stature: float, yaw: float, at: FloatArray
) -> Body:
    """A person on its feet at `at` (3,), turned by `yaw` degrees about the vertical (0 looks along +z).

    Args:
        rng: draws the pose; the same `identity` and `stature` give the same person in another pose.
    """
    m = sample_measures(np.random.default_rng(identity), stature)
    posed = sample_pose(rng, m, lying=False)
    lean = turn("y", yaw) @ turn("x", rng.normal(0, 2.5)) @ turn("z", rng.normal(0, 2))
    posed = posed.place(lean, np.zeros(3))
    sole = min(min(posed.extra[f"{p}{r}"][1] for p in ("heel", "toes") for r in (0, 1)) - 0.3 * m.ankle, 0.0)
    posed = posed.place(np.eye(3), at - np.array([0.0, sole, 0.0]))
    return _dress(identity, owner, m, posed)


def lying_body(
    rng: np.random.Generator, identity: int, owner: int, stature: float, roll: float, heading: float,
    at: FloatArray,
) -> Body:  # fmt: skip
    """A person lying at `at` (its hips; y is the ground's height) with its head towards `heading` degrees.

    Args:
        roll: 0 lies on the back, 90 on the right side, -90 on the left, 180 on the belly.
        heading: 0 puts the head towards -z, counter-clockwise seen from above.
    """
    m = sample_measures(np.random.default_rng(identity), stature)
    posed = sample_pose(rng, m, lying=True)
    flat = turn("y", heading) @ turn("x", -90 + rng.normal(0, 3)) @ turn("y", roll)
    posed = posed.place(flat, np.zeros(3))
    side = abs(np.sin(np.radians(roll)))
    trunk = (1 - side) * max(m.hip_depth, m.chest_depth) + side * 0.95 * max(m.hip_width, m.half_shoulders)
    posed = posed.place(np.eye(3), np.array([at[0], at[1] + 0.95 * trunk, at[2]]))
    return _dress(identity, owner, m, settle(posed, m, float(at[1]), rng))


def _dress(identity: int, owner: int, m: Measures, posed: Posed) -> Body:
    rng = np.random.default_rng([identity, 1])
    clothes = sample_clothes(rng, m.stature)
    shapes = [*_trunk(m, posed, clothes, owner), *_head(rng, m, posed, clothes, owner)]
    for row in (0, 1):
        shapes += _arm(m, posed, clothes, owner, row) + _leg(m, posed, clothes, owner, row)
    if clothes.skirt:
        shapes.append(_skirt(rng, m, posed, clothes, owner))
    radii = np.empty(17)
    radii[list(kp.HEAD)] = 0.16 * m.head_breadth
    for names, value in (((5, 6), 2.2 * m.arm), ((7, 8), 2.0 * m.elbow), ((9, 10), 2.2 * m.wrist)):
        radii[list(names)] = value * (clothes.sleeves if clothes.long_sleeves else 1.0)
    for names, value in (((11, 12), 2.0 * m.thigh), ((13, 14), 1.8 * m.knee), ((15, 16), 2.0 * m.ankle)):
        radii[list(names)] = value * (clothes.trousers if clothes.long_trousers else 1.0)
    if clothes.skirt:
        radii[11:15] += 0.05
    skull = np.array([m.head_breadth, m.head_height, m.head_length]) / 2
    return Body(m, clothes, posed.joints, radii, shapes, (posed.frames["head"], posed.extra["head"], skull))


def _trunk(m: Measures, posed: Posed, clothes: Clothes, owner: int) -> list[Shape]:
    pelvis, chest = posed.frames["pelvis"], posed.frames["chest"]
    j, neck = posed.joints, posed.extra["neck"]
    hips = (j[kp.LEFT_HIP] + j[kp.RIGHT_HIP]) / 2
    spine = neck - hips
    up, wear = spine / np.linalg.norm(spine), clothes.top
    waist = hips + 0.38 * spine
    breast = hips + 0.72 * spine - chest[:, 2] * 0.1 * m.chest_depth
    cloth = 0.004 if wear > 1 else 0.0005
    part = "top" if wear > 1 else "skin"
    low = "bottom" if clothes.trousers > 1 or clothes.diaper else part
    hip_factor = 1.18 if clothes.diaper else max(1.0, 0.5 + 0.5 * clothes.trousers)
    seat = hips + 0.06 * spine
    hw, hd = m.hip_width * hip_factor, m.hip_depth * hip_factor
    squeeze = lambda width, depth: (1.0, 1.0, depth / width)  # noqa: E731 - three lines below read best so
    return [
        squeezed_cone(low, owner, seat - up * 0.1 * hw, waist, 0.95 * hw, m.waist_width * wear, pelvis,
                      squeeze(hw, hd), wrinkle=cloth),
        squeezed_cone(part, owner, waist, breast, m.waist_width * wear, m.chest_width * wear, chest,
                      squeeze(m.chest_width, m.chest_depth), wrinkle=cloth),
        ellipsoid(part, owner, waist + pelvis[:, 2] * 0.12 * m.waist_depth, pelvis,
                  (0.9 * m.waist_width * wear, 0.26 * m.spine, 1.12 * m.waist_depth * wear), wrinkle=cloth),
        cone(part, owner, j[kp.LEFT_SHOULDER] * 0.8 + neck * 0.2 - up * 0.01,
             j[kp.RIGHT_SHOULDER] * 0.8 + neck * 0.2 - up * 0.01, 1.12 * m.arm * wear, 1.12 * m.arm * wear,
             wrinkle=cloth),
        squeezed_cone(part, owner, breast, neck - up * 0.6 * m.arm, m.chest_width * wear, 0.62 * m.chest_width * wear,
                      chest, squeeze(m.chest_width, 0.92 * m.chest_depth), wrinkle=cloth),
        *(cone(part, owner, neck + up * 0.25 * m.neck, 0.75 * shoulder + 0.25 * neck, 0.75 * m.neck_radius,
               1.0 * m.arm * wear, wrinkle=cloth) for shoulder in j[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]]),
        cone("skin", owner, neck - up * 0.2 * m.neck_radius, posed.extra["chin"] + 0.25 * (posed.extra["head"] - posed.extra["chin"]),
             m.neck_radius, 0.95 * m.neck_radius),
    ]  # fmt: skip


def _head(rng: np.random.Generator, m: Measures, posed: Posed, clothes: Clothes, owner: int) -> list[Shape]:
    frame, middle, j = posed.frames["head"], posed.extra["head"], posed.joints
    b, h, length = m.head_breadth / 2, m.head_height / 2, m.head_length / 2
    left, up, front = frame.T
    shapes = [
        ellipsoid("head", owner, middle + up * 0.12 * h, frame, (b, 0.88 * h, length)),
        ellipsoid("head", owner, middle - up * 0.38 * h + front * 0.18 * length, frame, (0.80 * b, 0.62 * h, 0.78 * length)),
        ellipsoid("head", owner, j[kp.NOSE] - front * 0.07 * length, frame, (0.13 * b, 0.16 * h, 0.13 * length)),
        *(ellipsoid("ear", owner, j[ear] - side * left * 0.04 * b, frame, (0.10 * b, 0.22 * h, 0.15 * length))
          for ear, side in ((kp.LEFT_EAR, 1), (kp.RIGHT_EAR, -1))),
    ]  # fmt: skip
    if clothes.hair == "none":
        return shapes
    part = "hat" if clothes.hair == "hat" else "hair"
    grow = clothes.hair_volume
    cap = middle + up * 0.30 * h - front * 0.16 * length
    shapes.append(ellipsoid(part, owner, cap, frame, (1.02 * b * grow, 0.80 * h * grow, 0.95 * length * grow), wrinkle=0.003))
    if clothes.hair == "long":
        tail = middle - up * rng.uniform(0.6, 1.3) * 2 * h - front * 0.75 * length
        shapes.append(cone(part, owner, cap - front * 0.3 * length, tail, 0.9 * b, 0.45 * b, wrinkle=0.004))
    elif clothes.hair == "bun":
        at = cap + up * rng.uniform(0.0, 0.9) * h - front * rng.uniform(0.4, 1.0) * length
        shapes.append(cone(part, owner, at, at, 0.42 * b, 0.42 * b, wrinkle=0.003))
    return shapes


def _arm(m: Measures, posed: Posed, clothes: Clothes, owner: int, row: int) -> list[Shape]:
    shoulder, elbow, wrist = (posed.joints[i + row] for i in (5, 7, 9))
    wear = clothes.sleeves
    low = wear if clothes.long_sleeves else 1.0
    names = ("top" if wear > 1 else "skin", "top" if low > 1 else "skin")
    hand = posed.extra[f"hand{row}"]
    palm = wrist + 0.55 * (hand - wrist)
    return [
        cone(names[0], owner, shoulder, elbow, m.arm * wear, m.elbow * wear, wrinkle=0.003 if wear > 1 else 0.0),
        cone(names[1], owner, elbow, wrist, 1.05 * m.elbow * low, m.wrist * low, wrinkle=0.003 if low > 1 else 0.0),
        cone("skin", owner, wrist, palm, 0.95 * m.wrist, 1.15 * m.wrist),
        cone("skin", owner, palm, hand, 1.0 * m.wrist, 0.45 * m.wrist),
    ]  # fmt: skip


def _leg(m: Measures, posed: Posed, clothes: Clothes, owner: int, row: int) -> list[Shape]:
    hip, knee, ankle = (posed.joints[i + row] for i in (11, 13, 15))
    wear = clothes.trousers
    low = wear if clothes.long_trousers else 1.0
    names = ("bottom" if wear > 1 else "skin", "bottom" if low > 1 else "skin")
    calf = knee + 0.32 * (ankle - knee)
    heel, toes = posed.extra[f"heel{row}"], posed.extra[f"toes{row}"]
    shoe = 1.3 if clothes.shoes else 1.0
    foot = "shoe" if clothes.shoes else "skin"
    crease = 0.003 if wear > 1 else 0.0
    return [
        cone(names[0], owner, hip, knee, m.thigh * wear, m.knee * wear, wrinkle=crease),
        cone(names[1], owner, knee, calf, m.knee * low, m.calf * low, wrinkle=crease),
        cone(names[1], owner, calf, ankle, m.calf * low, m.ankle * low, wrinkle=crease),
        cone(foot, owner, ankle, heel, m.ankle * shoe, 0.85 * m.ankle * shoe),
        cone(foot, owner, heel, toes, 0.9 * m.ankle * shoe, 0.55 * m.ankle * shoe),
    ]


def _skirt(rng: np.random.Generator, m: Measures, posed: Posed, clothes: Clothes, owner: int) -> Shape:
    j = posed.joints
    hips, knees = (j[11] + j[12]) / 2, (j[13] + j[14]) / 2
    ankles = (j[15] + j[16]) / 2
    hem = hips + 2 * clothes.skirt * (knees - hips) if clothes.skirt < 0.5 else knees + (2 * clothes.skirt - 1) * (ankles - knees)
    spread = max(float(np.linalg.norm(j[13] - j[14])) / 2 + m.knee, 1.1 * m.hip_width) * rng.uniform(0.95, 1.35)
    spread = min(spread, 1.9 * m.hip_width)  # cloth ends somewhere, however far the knees are apart
    return squeezed_cone(
        "bottom", owner, hips + 0.1 * (hips - knees), hem, 1.05 * m.hip_width, spread, posed.frames["pelvis"],
        (1.0, 1.0, 0.75), wrinkle=0.008,
    )  # fmt: skip
