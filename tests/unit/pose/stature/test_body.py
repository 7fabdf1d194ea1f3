"""What the network is told of a body."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pose import keypoints as kp
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.lifting.lift import lift_in_view
from pose.lifting.skeleton import Skeleton
from pose.stature.body import FEATURES, UP, BodyView, mirrored
from tests.support.rendered import whole_child


@cache
def seen(posture):
    """The body of a rendered child whose true keypoints are known."""
    truth = whole_child(posture)
    person = truth.people[0]
    skeleton = lift_in_view(truth.frame.view, person.keypoints, person.scores, "inside", 0.0)
    body = BodyView.of(truth.frame.depthmap, skeleton, posture == "lying")
    assert body is not None
    return body


def true_crown(posture):
    frame, middle, radii = whole_child(posture).true_people[0].head
    along = seen(posture).along
    return middle + np.linalg.norm(frame.T @ along * radii) * along


def centre(posture):
    start = seen(posture).first_centre()
    assert start is not None
    found = seen(posture).on_surface(start)
    assert found is not None
    return found


def wall(top, distance=1.0):
    """A body in front of the camera, of whose head a flat surface up to a height is measured."""
    depth = np.zeros((120, 160), np.float32)
    rows = np.arange(120)
    depth[60 - rows > round(top * 100 / distance)] = 0.0
    depth[(60 - rows <= round(top * 100 / distance)) & (rows < 110), 60:100] = distance
    camera = DepthMap(depth, None, Intrinsics(100, 100, 80, 60, 160, 120), np.eye(3), np.zeros(3), True)
    return replace(seen("standing"), depthmap=camera)


@pytest.mark.parametrize("above", [0.0, 0.03, 0.08])
def test_what_is_unseen_of_a_head_is_the_way_from_the_last_measured_surface_to_the_crown(above):
    body = wall(0.2)
    crown = body.depthmap.unproject(80.0, 40.0, 1.0) + np.array([0, above, 0])
    assert body.unseen(crown) == pytest.approx(above, abs=0.011)


def test_a_crown_below_what_was_measured_is_seen_and_one_without_any_depth_around_is_not_judged():
    body = wall(0.2)
    assert body.unseen(body.depthmap.unproject(80.0, 50.0, 1.0)) == 0
    assert body.unseen(body.depthmap.unproject(20.0, 20.0, 1.0)) == 0
    assert body.unseen(np.array([0.0, 0.0, 5.0])) == 0


def test_who_stands_is_measured_upwards_and_who_lies_along_the_trunk():
    assert np.allclose(seen("standing").along, UP)
    along = seen("lying").along
    assert along[1] == 0
    assert np.linalg.norm(along) == pytest.approx(1)
    head, feet = (seen("lying").joints[list(part)].mean(0) for part in (kp.HEAD, (15, 16)))
    assert along @ (head - feet) > 0.3


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_the_first_centre_is_near_the_crown_and_the_next_keeps_its_ray(posture):
    body, start = seen(posture), seen(posture).first_centre()
    assert np.linalg.norm(start - true_crown(posture)) < 0.15
    before, after = (np.array(body.depthmap.project(each)[:2]) for each in (start, centre(posture)))
    assert np.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_the_rest_of_a_child_is_nearly_its_stature(posture):
    truth = whole_child(posture).true_people[0]
    assert seen(posture).rest(true_crown(posture)) == pytest.approx(truth.measures.stature, rel=0.15)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_inputs_are_finite_and_have_the_shapes_that_they_say(posture):
    head, body, features = seen(posture).inputs(centre(posture))
    assert (head.shape, body.shape, features.shape) == ((5, 40, 40), (5, 72, 36), (FEATURES,))
    assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in (head, body, features))


def test_two_mirrors_change_nothing_and_one_exchanges_left_and_right():
    inputs = seen("standing").inputs(centre("standing"))
    once = mirrored(*inputs)
    assert all(np.array_equal(a, b) for a, b in zip(mirrored(*once), inputs, strict=True))
    assert np.array_equal(once[0][:, :, 0], inputs[0][:, :, -1])
    left, right = inputs[2][:3], inputs[2][3:6]
    assert np.array_equal(once[2][:3], right * [1, -1, 1])
    assert np.array_equal(once[2][3:6], left * [1, -1, 1])


def test_mirrored_takes_many_samples_at_once():
    inputs = seen("standing").inputs(centre("standing"))
    batch = mirrored(*(np.stack([each, each]) for each in inputs))
    assert all(np.array_equal(a[1], b) for a, b in zip(batch, mirrored(*inputs), strict=True))


def test_the_features_do_not_depend_on_the_eyes():
    body, at = seen("standing"), centre("standing")
    moved = body.joints.copy()
    moved[list(kp.HEAD)] += 0.04
    other = replace(body, joints=moved)
    assert all(np.array_equal(a, b) for a, b in zip(body.inputs(at), other.inputs(at), strict=True))


def test_there_is_no_body_without_joints_floor_or_trunk():
    body = seen("standing")
    skeleton = body.skeleton
    hidden = Skeleton(skeleton.joints, skeleton.scores, skeleton.distance_px, np.zeros(17, bool), 0.0)
    without_floor = Skeleton(
        skeleton.joints, skeleton.scores, skeleton.distance_px, skeleton.observed, floor=None
    )
    assert BodyView.of(body.depthmap, hidden, False) is None
    assert BodyView.of(body.depthmap, without_floor, False) is None
    upright = skeleton.joints.copy()
    upright[list(kp.TORSO), 0] = upright[list(kp.TORSO), 2] = 0
    straight = Skeleton(upright, skeleton.scores, skeleton.distance_px, skeleton.observed, 0.0)
    assert BodyView.of(body.depthmap, straight, lying=True) is None


def test_a_head_that_nobody_saw_has_no_centre():
    body = seen("standing")
    observed = body.skeleton.observed.copy()
    observed[list(kp.HEAD)] = False
    skeleton = replace(body.skeleton, observed=observed)
    assert replace(body, skeleton=skeleton).first_centre() is None


def test_a_crown_outside_the_depth_map_has_no_surface():
    body = seen("standing")
    assert body.on_surface(centre("standing") + 0.8 * UP) is None
    assert body.on_surface(2 * body.depthmap.translation - centre("standing")) is None


def test_a_head_without_depth_keeps_its_place():
    body = seen("standing")
    empty = DepthMap(
        np.zeros_like(body.depthmap.depth),
        None,
        Intrinsics(**vars(body.depthmap.intrinsics)),
        body.depthmap.rotation,
        body.depthmap.translation,
        True,
    )
    at = centre("standing")
    assert np.allclose(replace(body, depthmap=empty).on_surface(at), at)
