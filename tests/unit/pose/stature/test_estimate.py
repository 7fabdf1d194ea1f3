"""The stature of a child in one frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pose.lifting.lift import lift_in_view
from pose.lifting.skeleton import Skeleton
from pose.stature import estimate
from tests.support.rendered import Rendered, whole_child


def estimate_stature(*arguments):
    return estimate.estimate_stature(*arguments)


class Fixed:
    """A model that always tells the same lengths."""

    def __init__(self, to_crown: float = 0.0, rest: float = 0.0) -> None:
        self.lengths = to_crown, rest
        self.calls = 0

    def predict(self, head, body, features):
        self.calls += 1
        return self.lengths, (0.005, 0.01)


def skeleton_of(truth: Rendered) -> Skeleton:
    someone = truth.people[0]
    return lift_in_view(truth.frame.view, someone.keypoints, someone.scores, "inside", 0.0)


def test_the_crown_is_where_the_model_says_and_the_stature_is_its_height_and_the_rest():
    truth, model = whole_child(), Fixed(rest=0.02)
    found = estimate_stature(truth.frame.depthmap, skeleton_of(truth), False, model)
    assert found is not None
    assert found.stature == pytest.approx(found.crown[1] + 0.02)
    assert found.scale == pytest.approx(0.01)
    assert not found.lying
    assert model.calls > 1  # each look is centred on the crown that the last one found


def test_keypoints_of_a_picture_give_the_same_as_a_skeleton():
    truth = whole_child()
    someone = truth.people[0]
    model: Any = Fixed()
    found: Any = estimate.frame_stature(truth.frame.view, someone.keypoints, someone.scores, 0.0, model)
    same = estimate_stature(truth.frame.depthmap, skeleton_of(truth), False, Fixed())
    assert found.stature == same.stature


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_the_model_in_the_package_tells_rendered_children(posture):
    truth = whole_child(posture)
    found = estimate_stature(truth.frame.depthmap, skeleton_of(truth), posture == "lying")
    assert found is not None
    off = abs(found.stature - truth.true_people[0].measures.stature)
    assert off < max(0.03, 4 * found.scale)


def test_a_crown_above_all_that_was_measured_is_told_and_is_less_certain(monkeypatch):
    truth = whole_child()
    monkeypatch.setattr(estimate.BodyView, "unseen", lambda body, crown: 0.05)
    found = estimate_stature(truth.frame.depthmap, skeleton_of(truth), False, Fixed())
    assert found.unseen == 0.05
    assert found.scale > 0.015


def test_an_impossible_stature_is_none():
    truth = whole_child()
    assert estimate_stature(truth.frame.depthmap, skeleton_of(truth), False, Fixed(rest=1.0)) is None


def test_no_stature_is_told_without_a_floor_under_a_child_who_stands():
    truth = whole_child()
    without = replace(skeleton_of(truth), floor=None)
    assert estimate_stature(truth.frame.depthmap, without, False, Fixed()) is None


def moved(skeleton: Skeleton, joints: list[int], by: tuple[float, float, float]) -> Skeleton:
    places = skeleton.joints.copy()
    places[joints] += by
    return replace(skeleton, joints=places)


def test_feet_outside_the_picture_double_the_scale_and_legs_outside_leave_nothing():
    truth = whole_child()
    whole = skeleton_of(truth)
    feet = moved(whole, [15, 16], (9.0, 0.0, 0.0))
    assert estimate_stature(truth.frame.depthmap, feet, False, Fixed()).scale >= 0.02
    legs = moved(whole, [13, 14, 15, 16], (9.0, 0.0, 0.0))
    assert estimate_stature(truth.frame.depthmap, legs, False, Fixed()) is None


def test_the_feet_of_a_child_who_lies_must_be_in_the_picture():
    truth = whole_child("lying")
    feet = moved(skeleton_of(truth), [15, 16], (9.0, 0.0, 0.0))
    assert estimate_stature(truth.frame.depthmap, feet, True, Fixed()) is None


def test_bones_of_quite_another_stature_double_the_scale():
    truth = whole_child()
    whole = skeleton_of(truth)
    small = replace(whole, joints=whole.joints * 0.45 + np.array([0, 0.55 * whole.joints[0, 1], 0]))
    found = estimate_stature(truth.frame.depthmap, small, False, Fixed())
    assert found is None or found.scale >= 0.02
    assert found is not None
