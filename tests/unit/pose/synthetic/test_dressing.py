"""Clothes, hair and flesh cover the joints that they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from pose import keypoints as kp
from pose.synthetic.dressing import dress, sample_clothes
from pose.synthetic.posing import sample_pose
from pose.synthetic.proportions import sample_measures

LIMBS = [i for i in range(kp.COUNT) if i not in kp.HEAD]


def dressed(seed, stature=0.9, lying=False):
    rng = np.random.default_rng(seed)
    m = sample_measures(rng, stature)
    posed = sample_pose(rng, m, lying=lying)
    return m, posed, *dress(np.random.default_rng(seed), m, posed, owner=3)


def depth_inside(shape, points):
    """How far points (N, 3) lie inside a shape, in its own units; at most 0 outside."""
    local = (points - shape.origin) @ shape.frame / shape.scale
    share = np.linspace(0, 1, 200)[:, None]
    centres = shape.ends[0] + share * (shape.ends[1] - shape.ends[0])
    radii = shape.radii[0] + share[:, 0] * (shape.radii[1] - shape.radii[0])
    return (radii - np.linalg.norm(local[:, None] - centres, axis=-1)).max(axis=1)


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_every_joint_of_the_limbs_lies_inside_the_body(seed, lying):
    _, posed, _, shapes, _ = dressed(seed, lying=lying)
    inside = np.max([depth_inside(shape, posed.joints[LIMBS]) for shape in shapes], axis=0)
    assert (inside > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_no_joint_lies_deeper_below_the_surface_than_it_is_said_to(seed):
    _, posed, _, shapes, radii = dressed(seed)
    inside = np.max([depth_inside(shape, posed.joints) for shape in shapes if shape.part != "hair"], axis=0)
    assert (inside < radii)[LIMBS].all()


def test_all_volumes_bear_the_persons_number():
    *_, shapes, _ = dressed(0)
    assert {shape.owner for shape in shapes} == {3}


def test_one_ear_lies_as_deep_as_the_other():
    _, posed, _, shapes, _ = dressed(0)
    ears = [shape.origin for shape in shapes if shape.part == "ear"]
    left, right = np.linalg.norm(ears - posed.joints[[kp.LEFT_EAR, kp.RIGHT_EAR]], axis=1)
    assert left == pytest.approx(right)


def test_hair_is_worn_as_the_clothes_say():
    seen = set()
    for seed in range(40):
        _, _, clothes, shapes, _ = dressed(seed)
        parts = {shape.part for shape in shapes}
        seen.add(clothes.hair)
        assert ("hat" in parts) == (clothes.hair == "hat")
        assert ("hair" in parts) == (clothes.hair in ("short", "long", "bun"))
        assert {"head", "ear"} <= parts
        assert ("shoe" in parts) == clothes.shoes
    assert seen == {"none", "short", "long", "bun", "hat"}


def test_a_skirt_hides_hips_and_knees_deeper():
    skirts = [dressed(seed) for seed in range(60)]
    skirt = next(each for each in skirts if each[2].skirt and not each[2].long_trousers)
    bare = next(each for each in skirts if not each[2].skirt and not each[2].long_trousers)
    assert (skirt[4][11:15] > bare[4][11:15]).all()


def test_clothes_never_lie_below_the_skin():
    for seed in range(200):
        clothes = sample_clothes(np.random.default_rng(seed), 0.9)
        assert min(clothes.top, clothes.sleeves, clothes.trousers, clothes.hair_volume) >= 1
        assert 0 <= clothes.skirt < 1


def test_babies_wear_diapers():
    def share(stature):
        return np.mean([sample_clothes(np.random.default_rng(s), stature).diaper for s in range(200)])

    assert share(0.6) > 0.4 > share(1.0)
