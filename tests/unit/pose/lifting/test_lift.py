"""Keypoints → joints in metres."""

from dataclasses import replace

import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.geometry.camera import Intrinsics
from pose.lifting.anatomy import Build
from pose.lifting.lift import METHODS
from tests.support.rendered import first, rendered, with_face

SEEDS = range(900_000, 900_012)


def errors(seed, posture, method):
    """Distance in metres of each visible joint from the true one."""
    truth = rendered(seed, posture)
    frame, uv = truth.frame, truth.people[0].keypoints
    skeleton = pose.lift(frame.depthmap, uv, np.ones(17), frame.picture_size, method, floor=0.0)
    return np.linalg.norm(skeleton.joints - truth.true_people[0].joints, axis=1)[truth.visible[0]]


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_joints_are_found_inside_the_body(posture):
    inside = np.concatenate([errors(seed, posture, "inside") for seed in SEEDS])
    nearest = np.concatenate([errors(seed, posture, "nearest") for seed in SEEDS])
    assert np.median(inside) < 0.02
    assert np.median(inside) < 0.5 * np.median(nearest)


def test_the_body_length_is_near_the_true_one():
    differences = []
    for seed in SEEDS:
        truth = rendered(seed, "standing")
        skeleton = pose.lift(
            truth.frame.depthmap, truth.people[0].keypoints, np.ones(17), truth.frame.picture_size
        )
        differences.append(skeleton.body_length - truth.true_people[0].length)
    assert np.median(np.abs(differences)) < 0.02


def test_heights_count_from_the_floor():
    truth = with_face()
    frame = truth.frame
    raised = replace(frame.depthmap, translation=frame.depthmap.translation + np.array([0, 1.7, 0]))
    arguments = (truth.people[0].keypoints, np.ones(17), frame.picture_size)
    skeleton = pose.lift(raised, *arguments)
    assert skeleton.floor == pytest.approx(1.7, abs=0.02)
    assert skeleton.joints == pytest.approx(pose.lift(frame.depthmap, *arguments).joints, abs=0.005)


def test_without_a_pose_the_floor_is_unknown_and_lengths_are_not():
    truth = with_face()
    frame = truth.frame
    lost = replace(frame.depthmap, rotation=np.eye(3), translation=np.zeros(3), pose_known=False)
    arguments = (truth.people[0].keypoints, np.ones(17), frame.picture_size)
    skeleton = pose.lift(lost, *arguments)
    assert skeleton.floor is None
    assert not skeleton.gravity_known
    assert skeleton.lengths() == pytest.approx(pose.lift(frame.depthmap, *arguments).lengths())


def test_a_limb_that_hides_behind_another_is_placed_by_its_length():
    truth = first(lambda truth: not truth.visible[0][kp.LEFT_KNEE] and truth.visible[0][kp.RIGHT_KNEE])
    skeleton = pose.lift(
        truth.frame.depthmap, truth.people[0].keypoints, np.ones(17), truth.frame.picture_size, floor=0.0
    )
    build = Build(truth.true_people[0].measures.stature)
    for hip, knee in ((kp.LEFT_HIP, kp.LEFT_KNEE), (kp.RIGHT_HIP, kp.RIGHT_KNEE)):
        length = np.linalg.norm(skeleton.joints[hip] - skeleton.joints[knee])
        assert length == pytest.approx(build["thigh"], rel=0.35)


def test_a_keypoint_outside_the_picture_is_not_observed():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[kp.LEFT_WRIST] = (-30.0, 20.0)
    for method in METHODS:
        skeleton = pose.lift(truth.frame.depthmap, uv, np.ones(17), truth.frame.picture_size, method)
        assert not skeleton.observed[kp.LEFT_WRIST]
        assert np.isfinite(skeleton.joints).all()


@pytest.mark.parametrize("method", METHODS)
def test_without_any_depth_joints_are_unknown(method):
    truth = with_face()
    empty = replace(truth.frame.depthmap, depth=np.zeros_like(truth.frame.depthmap.depth))
    skeleton = pose.lift(empty, truth.people[0].keypoints, np.ones(17), truth.frame.picture_size, method)
    assert not skeleton.measured
    assert np.isnan(skeleton.joints).all()
    assert np.isfinite(skeleton.distance_px).all()


def test_nearest_minimises_distance_and_depth_over_all_pixels():
    truth = rendered(900_004, "lying")
    depthmap = truth.frame.depthmap
    uv = truth.people[0].keypoints
    uv = np.concatenate([uv[:14], [(-40.0, 10.0), (400.0, 300.0), (3.0, 239.0)]])
    skeleton = pose.lift(depthmap, uv, np.ones(17), truth.frame.picture_size, "nearest", floor=0.0)
    resized = depthmap.resized(640, 480)
    rows, columns = np.mgrid[:480, :640]
    scale = 640 / truth.frame.picture_size[0]
    # Rows scale from the bottom, as the intrinsics do.
    target = np.column_stack((uv[:, 0] * scale, 479 - (truth.frame.picture_size[1] - 1 - uv[:, 1]) * scale))
    for joint, (u, v) in enumerate(target):
        away = np.abs(columns - u) + np.abs(rows - v)
        cost = np.where(resized.depth >= 0.2, away + 10 * resized.depth, np.inf)
        row, column = np.unravel_index(np.argmin(cost), cost.shape)
        assert skeleton.distance_px[joint] == pytest.approx(away[row, column])
        assert skeleton.joints[joint] == pytest.approx(
            resized.unproject(column, row, resized.depth[row, column]), abs=1e-9
        )


def test_nearest_works_on_a_real_scan(plush):
    frame = pose.read_scan(plush).frames[0]
    uv = np.column_stack((np.linspace(500, 900, 17), np.linspace(300, 800, 17)))
    skeleton = pose.lift(frame.depthmap, uv, np.ones(17), frame.picture_size, "nearest")
    assert skeleton.floor == pytest.approx(-0.9706, abs=0.005)
    assert np.isfinite(skeleton.joints).all()


def test_a_different_colour_camera_is_used():
    truth = with_face()
    frame = truth.frame
    own = frame.color
    other = Intrinsics(own.fx * 0.8, own.fy * 0.8, own.cx + 9, own.cy - 4, own.width, own.height)
    uv = truth.people[0].keypoints
    rays = (uv - (own.cx, own.cy)) / (own.fx, own.fy)
    moved = rays * (other.fx, other.fy) + (other.cx, other.cy)
    before = pose.lift(frame.depthmap, uv, np.ones(17), frame.picture_size)
    after = pose.lift(frame.depthmap, moved, np.ones(17), frame.picture_size, color=other)
    assert after.joints == pytest.approx(before.joints, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": np.zeros((16, 2))}, "expected"),
        ({"scores": np.zeros(5)}, "expected"),
        ({"keypoints": np.full((17, 2), np.nan)}, "finite"),
        ({"method": "furthest"}, "inside, surface, nearest"),
        ({"picture_size": (0, 240)}, "size"),
    ],
)
def test_invalid_arguments_are_refused(change, message):
    arguments = {
        "keypoints": np.zeros((17, 2)),
        "scores": np.zeros(17),
        "picture_size": (320, 240),
        "method": "inside",
    }
    with pytest.raises(ValueError, match=message):
        pose.lift(with_face().frame.depthmap, **{**arguments, **change})
