"""Fitting a body's size to its bones."""

import itertools

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting.anatomy import Build, fit_build
from tests.support.rendered import rendered, with_face


@pytest.mark.parametrize("measure", ["trunk", "thigh", "head_height", "knee"])
def test_every_measure_grows_with_the_stature(measure):
    values = [Build(stature)[measure] for stature in np.linspace(0.4, 2.0, 30)]
    assert all(a < b for a, b in itertools.pairwise(values))


def test_a_childs_head_is_larger_for_its_body_than_an_adults():
    assert Build(0.6)["head_height"] / 0.6 > 1.5 * Build(1.7)["head_height"] / 1.7


@pytest.mark.parametrize("seed", range(900_000, 900_010))
def test_the_size_is_found_from_true_joints(seed):
    body = rendered(seed, "standing").true_people[0]
    fitted = fit_build(body.joints, np.ones(kp.COUNT, bool))
    assert fitted.stature == pytest.approx(body.measures.stature, rel=0.12)


def test_a_hidden_leg_does_not_change_the_size():
    joints = with_face().true_people[0].joints.copy()
    usable = np.ones(kp.COUNT, bool)
    before = fit_build(joints, usable).stature
    joints[kp.LEFT_ANKLE] += (0.0, 0.3, 0.3)
    assert fit_build(joints, usable).stature == pytest.approx(before, rel=0.08)


def test_without_bones_the_size_is_the_one_asked_for():
    assert fit_build(np.zeros((17, 3)), np.zeros(17, bool), default=1.6).stature == 1.6
