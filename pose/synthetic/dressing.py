"""Body surface, hair and clothes around the joints, as smooth volumes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.synthetic.posing import BodyPose
from pose.synthetic.proportions import Measures
from pose.synthetic.raycast import Shape, cone, ellipsoid, elliptic_cone

FloatArray = NDArray[np.float64]
HEAD_PARTS: Final = ("head", "ear", "hair", "hat")  # `Shape.part` of all that belongs to a head


@dataclass(frozen=True)
class Clothes:
    """What a person wears. Factors widen the body below; 1.0 is bare skin.

    Attributes:
        skirt: length as a share of the leg from hip to ankle, 0 for no skirt.
        hair: "none", "short", "long", "bun" or "hat".
    """

    top: float
    sleeves: float
    long_sleeves: bool
    trousers: float
    long_trousers: bool
    skirt: float
    diaper: bool
    shoes: bool
    hair: str
    hair_volume: float


def sample_clothes(rng: np.random.Generator, stature: float) -> Clothes:
    """Return random clothes for this stature (metres). Babies mostly wear diapers, seldom skirts."""
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


def dress(
    rng: np.random.Generator, m: Measures, body_pose: BodyPose, owner: int
) -> tuple[Clothes, list[Shape], FloatArray]:
    """Dress a body in random clothes and hair.

    Args:
        rng: draws clothes and hair.
        owner: the person's number in the scene, stored in each shape.

    Returns:
        the clothes; the volumes; and the joint depth limits, see `SyntheticPerson.max_joint_depths`.
    """
    clothes = sample_clothes(rng, m.stature)
    shapes = [*_trunk(m, body_pose, clothes, owner), *_head(rng, m, body_pose, clothes, owner)]
    for row in (0, 1):
        shapes += _arm(m, body_pose, clothes, owner, row) + _leg(m, body_pose, clothes, owner, row)
    if clothes.skirt:
        shapes.append(_skirt(rng, m, body_pose, clothes, owner))
    return clothes, shapes, _max_joint_depths(m, clothes)


def _max_joint_depths(m: Measures, clothes: Clothes) -> FloatArray:
    sleeves = clothes.sleeves if clothes.long_sleeves else 1.0
    trousers = clothes.trousers if clothes.long_trousers else 1.0
    depths = np.empty(kp.COUNT)
    depths[list(kp.HEAD)] = 0.16 * m.head_breadth
    depths[[5, 6]], depths[[7, 8]], depths[[9, 10]] = (
        value * sleeves for value in (2.2 * m.arm, 2.0 * m.elbow, 2.2 * m.wrist)
    )
    depths[[11, 12]], depths[[13, 14]], depths[[15, 16]] = (
        value * trousers for value in (2.0 * m.thigh, 1.8 * m.knee, 2.0 * m.ankle)
    )
    if clothes.skirt:
        depths[11:15] += 0.05
    return depths


def _trunk(m: Measures, body_pose: BodyPose, clothes: Clothes, owner: int) -> list[Shape]:
    pelvis, chest = body_pose.frames["pelvis"], body_pose.frames["chest"]
    j, neck, wear = body_pose.joints, body_pose.landmarks["neck"], clothes.top
    hips = (j[kp.LEFT_HIP] + j[kp.RIGHT_HIP]) / 2
    spine = neck - hips
    up = spine / np.linalg.norm(spine)
    waist = hips + 0.38 * spine
    breast = hips + 0.72 * spine - chest[:, 2] * 0.1 * m.chest_depth
    seat = hips + 0.06 * spine
    part = "top" if wear > 1 else "skin"
    low = "bottom" if clothes.trousers > 1 or clothes.diaper else part
    wider = 1.18 if clothes.diaper else max(1.0, 0.5 + 0.5 * clothes.trousers)
    hip_width, hip_depth = m.hip_width * wider, m.hip_depth * wider
    waist_width, chest_width = m.waist_width * wear, m.chest_width * wear
    belly_radii = (0.9 * m.waist_width * wear, 0.26 * m.spine, 1.12 * m.waist_depth * wear)
    flat_hips = (1.0, 1.0, hip_depth / hip_width)
    flat_chest = (1.0, 1.0, m.chest_depth / m.chest_width)
    flat_top = (1.0, 1.0, 0.92 * m.chest_depth / m.chest_width)
    left, right = j[kp.LEFT_SHOULDER], j[kp.RIGHT_SHOULDER]
    arm = 1.12 * m.arm * wear

    cloth = 0.004 if wear > 1 else 0.0005
    tube, rod = partial(elliptic_cone, wrinkle=cloth), partial(cone, wrinkle=cloth)
    belly = waist + pelvis[:, 2] * 0.12 * m.waist_depth
    yoke = [shoulder * 0.8 + neck * 0.2 - up * 0.01 for shoulder in (left, right)]
    nape, collar = neck + up * 0.25 * m.neck, neck - up * 0.6 * m.arm
    throat = body_pose.landmarks["chin"] + 0.25 * (body_pose.landmarks["head"] - body_pose.landmarks["chin"])
    return [
        tube(
            low, owner, seat - up * 0.1 * hip_width, waist, 0.95 * hip_width, waist_width, pelvis, flat_hips
        ),
        tube(part, owner, waist, breast, waist_width, chest_width, chest, flat_chest),
        ellipsoid(part, owner, belly, pelvis, belly_radii, wrinkle=cloth),
        rod(part, owner, yoke[0], yoke[1], arm, arm),
        tube(part, owner, breast, collar, chest_width, 0.62 * m.chest_width * wear, chest, flat_top),
        *(
            rod(part, owner, nape, 0.75 * shoulder + 0.25 * neck, 0.75 * m.neck_radius, 1.0 * m.arm * wear)
            for shoulder in (left, right)
        ),
        cone("skin", owner, neck - up * 0.2 * m.neck_radius, throat, m.neck_radius, 0.95 * m.neck_radius),
    ]


def _head(
    rng: np.random.Generator, m: Measures, body_pose: BodyPose, clothes: Clothes, owner: int
) -> list[Shape]:
    frame, middle, j = body_pose.frames["head"], body_pose.landmarks["head"], body_pose.joints
    b, h, length = m.head_breadth / 2, m.head_height / 2, m.head_length / 2
    left, up, front = frame.T
    jaw, nose = middle - up * 0.38 * h + front * 0.18 * length, j[kp.NOSE] - front * 0.07 * length
    shapes = [
        ellipsoid("head", owner, middle + up * 0.12 * h, frame, (b, 0.88 * h, length)),
        ellipsoid("head", owner, jaw, frame, (0.80 * b, 0.62 * h, 0.78 * length)),
        ellipsoid("head", owner, nose, frame, (0.13 * b, 0.16 * h, 0.13 * length)),
    ]
    for ear, side in ((kp.LEFT_EAR, 1), (kp.RIGHT_EAR, -1)):
        at = j[ear] - side * left * 0.04 * b
        shapes.append(ellipsoid("ear", owner, at, frame, (0.10 * b, 0.22 * h, 0.15 * length)))
    if clothes.hair == "none":
        return shapes
    part = "hat" if clothes.hair == "hat" else "hair"
    grow = clothes.hair_volume
    cap, size = middle + up * 0.30 * h - front * 0.16 * length, (1.02 * b, 0.80 * h, 0.95 * length)
    size = (size[0] * grow, size[1] * grow, size[2] * grow)
    shapes.append(ellipsoid(part, owner, cap, frame, size, wrinkle=0.003))
    if clothes.hair == "long":
        tail = middle - up * rng.uniform(0.6, 1.3) * 2 * h - front * 0.75 * length
        shapes.append(cone(part, owner, cap - front * 0.3 * length, tail, 0.9 * b, 0.45 * b, wrinkle=0.004))
    elif clothes.hair == "bun":
        at = cap + up * rng.uniform(0.0, 0.9) * h - front * rng.uniform(0.4, 1.0) * length
        shapes.append(cone(part, owner, at, at, 0.42 * b, 0.42 * b, wrinkle=0.003))
    return shapes


def _arm(m: Measures, body_pose: BodyPose, clothes: Clothes, owner: int, row: int) -> list[Shape]:
    shoulder, elbow, wrist = (body_pose.joints[i + row] for i in (5, 7, 9))
    high = clothes.sleeves
    low = high if clothes.long_sleeves else 1.0
    hand = body_pose.landmarks[f"hand{row}"]
    palm = wrist + 0.55 * (hand - wrist)
    upper = partial(cone, "top" if high > 1 else "skin", wrinkle=0.003 if high > 1 else 0.0)
    fore = partial(cone, "top" if low > 1 else "skin", wrinkle=0.003 if low > 1 else 0.0)
    return [
        upper(owner, shoulder, elbow, m.arm * high, m.elbow * high),
        fore(owner, elbow, wrist, 1.05 * m.elbow * low, m.wrist * low),
        cone("skin", owner, wrist, palm, 0.95 * m.wrist, 1.15 * m.wrist),
        cone("skin", owner, palm, hand, 1.0 * m.wrist, 0.45 * m.wrist),
    ]


def _leg(m: Measures, body_pose: BodyPose, clothes: Clothes, owner: int, row: int) -> list[Shape]:
    hip, knee, ankle = (body_pose.joints[i + row] for i in (11, 13, 15))
    high = clothes.trousers
    low = high if clothes.long_trousers else 1.0
    calf = knee + 0.32 * (ankle - knee)
    heel, toes = body_pose.landmarks[f"heel{row}"], body_pose.landmarks[f"toes{row}"]
    shoe = 1.3 if clothes.shoes else 1.0
    crease = 0.003 if high > 1 else 0.0
    thigh = partial(cone, "bottom" if high > 1 else "skin", wrinkle=crease)
    shank = partial(cone, "bottom" if low > 1 else "skin", wrinkle=crease)
    foot = partial(cone, "shoe" if clothes.shoes else "skin")
    return [
        thigh(owner, hip, knee, m.thigh * high, m.knee * high),
        shank(owner, knee, calf, m.knee * low, m.calf * low),
        shank(owner, calf, ankle, m.calf * low, m.ankle * low),
        foot(owner, ankle, heel, m.ankle * shoe, 0.85 * m.ankle * shoe),
        foot(owner, heel, toes, 0.9 * m.ankle * shoe, 0.55 * m.ankle * shoe),
    ]


def _skirt(rng: np.random.Generator, m: Measures, body_pose: BodyPose, clothes: Clothes, owner: int) -> Shape:
    j, length = body_pose.joints, 2 * clothes.skirt
    hips, knees, ankles = (j[11] + j[12]) / 2, (j[13] + j[14]) / 2, (j[15] + j[16]) / 2
    hem = hips + length * (knees - hips) if clothes.skirt < 0.5 else knees + (length - 1) * (ankles - knees)
    spread = max(float(np.linalg.norm(j[13] - j[14])) / 2 + m.knee, 1.1 * m.hip_width)
    # Cloth is only so wide, however far apart the knees are.
    spread = min(spread * rng.uniform(0.95, 1.35), 1.9 * m.hip_width)
    top, pelvis = hips + 0.1 * (hips - knees), body_pose.frames["pelvis"]
    return elliptic_cone(
        "bottom", owner, top, hem, 1.05 * m.hip_width, spread, pelvis, (1.0, 1.0, 0.75), wrinkle=0.008
    )
