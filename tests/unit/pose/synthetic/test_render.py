"""Renderings agree with their ground truth."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
import pytest

from pose import keypoints as kp
from pose.geometry.floor import floor_height
from pose.synthetic.raycast import cast_rays
from pose.synthetic.render import project_keypoints, render
from pose.synthetic.scene import sample_scene

SEEDS = range(710_000, 710_008)
rendering = cache(render)


def digest(rendered):
    depthmap = rendered.depthmap
    data = (depthmap.depth, depthmap.confidence, depthmap.rotation, depthmap.translation)
    return hashlib.sha256(b"".join(each.tobytes() for each in data)).hexdigest()


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize("posture", ["standing", "lying", "empty"])
def test_the_same_arguments_give_the_same_bytes(posture, careful):
    one, other = (render(3, posture, frame=2, careful=careful) for _ in range(2))
    assert digest(one) == digest(other)


def test_other_arguments_give_others():
    options: list[dict[str, Any]] = [
        {},
        {"frame": 1},
        {"careful": False},
        {"second_person": True},
        {"size": (180, 135)},
    ]
    digests = {digest(render(3, "standing", **each)) for each in options} | {digest(render(4, "standing"))}
    assert len(digests) == 6


@pytest.mark.parametrize("size", [(240, 180), (180, 135), (640, 480)])
def test_it_has_the_size_that_was_asked_for(size):
    rendered = rendering(1, "standing", size)
    assert rendered.depthmap.depth.shape == rendered.hits.index.shape == (size[1], size[0])
    assert rendered.depthmap.depth.dtype == np.float32
    assert rendered.depthmap.pose_known


def test_keypoints_scale_with_the_picture():
    small, _ = rendering(1, "standing").keypoints(rendering(1, "standing").scene.people[0])
    large, _ = rendering(1, "standing", (640, 480)).keypoints(
        rendering(1, "standing", (640, 480)).scene.people[0]
    )
    rows = np.array([(u, 179 - v) for u, v in small]) * (640 / 240)  # rows scale from the bottom
    assert large == pytest.approx(np.stack([rows[:, 0], 479 - rows[:, 1]], axis=-1), abs=1e-6)


@pytest.mark.parametrize("posture", ["standing", "lying"])
@pytest.mark.parametrize("seed", SEEDS)
def test_visible_keypoints_lie_on_the_person_near_the_surface(seed, posture):
    rendered = rendering(seed, posture)
    person = rendered.scene.people[0]
    uv, visible = rendered.keypoints(person)
    columns, rows = np.rint(uv[visible]).astype(int).T
    shapes = [rendered.scene.shapes[i] for i in rendered.hits.index[rows, columns]]
    assert {shape.owner for shape in shapes} <= {0}
    surface = rendered.depthmap.unproject(columns, rows, rendered.hits.depth[rows, columns])
    away = np.linalg.norm(surface - person.joints[visible], axis=1)
    # Sideways it is at most half a pixel, which is less than a centimetre.
    assert (away < person.max_joint_depths[visible] + 0.01).all()


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_most_of_a_childs_keypoints_are_visible(posture):
    share = [rendering(s, posture).keypoints(rendering(s, posture).scene.people[0])[1].mean() for s in SEEDS]
    assert np.mean(share) > 0.6
    assert np.mean(share) < 1.0


def test_keypoints_outside_the_picture_or_behind_another_person_are_not_visible():
    hidden = outside = 0
    for seed in range(720_000, 720_020):
        rendered = rendering(seed, "standing", careful=False, second_person=True)
        for person in rendered.scene.people:
            uv, visible = rendered.keypoints(person)
            beyond = ((uv < -0.5) | (uv > (239.5, 179.5))).any(axis=1)
            assert not (visible & beyond).any()
            outside += beyond.sum()
            hidden += (~visible & ~beyond).sum()
    assert outside > 20
    assert hidden > 20


def test_from_the_side_the_far_arm_is_hidden_more_often_than_the_near_one():
    near, far = [], []
    for seed in range(730_000, 730_150):
        scene = sample_scene(seed, "standing", second_person=False)
        person = scene.people[0]
        towards = scene.camera.position - person.joints.mean(axis=0)
        left = person.joints[kp.LEFT_SHOULDER] - person.joints[kp.RIGHT_SHOULDER]
        aside = left @ towards / np.linalg.norm(left) / np.linalg.norm(towards)
        if abs(aside) > 0.85:
            _, visible = project_keypoints(person, scene, cast_rays(scene.camera, scene.shapes))
            sides = visible[[kp.LEFT_SHOULDER, kp.LEFT_ELBOW]], visible[[kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW]]
            near.append(sides[0 if aside > 0 else 1].mean())
            far.append(sides[1 if aside > 0 else 0].mean())
    assert len(near) > 10
    assert np.mean(near) > 0.8
    assert np.mean(far) < 0.4


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_depth_is_that_of_the_scene(posture):
    for seed in SEEDS:
        rendered = rendering(seed, posture)
        depth, true = rendered.depthmap.depth, rendered.hits.depth
        both = (depth > 0) & np.isfinite(true)
        assert both.mean() > 0.5
        assert np.median(np.abs(depth - true)[both]) < 0.02


def test_the_floor_lies_at_zero_in_the_depth_maps_world():
    for seed in SEEDS:
        rendered = rendering(seed, "standing")
        floor = rendered.hits.part_mask(rendered.scene.shapes, "floor")
        seen = floor & (rendered.depthmap.depth > 0)
        assert np.median(rendered.depthmap.points()[seen][:, 1]) == pytest.approx(0, abs=0.01)
    assert floor_height(rendering(710_000, "standing").depthmap) == pytest.approx(0, abs=0.03)
