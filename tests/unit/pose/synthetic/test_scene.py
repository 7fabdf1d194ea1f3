"""Scenes follow from seed, posture and frame."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pose import keypoints as kp
from pose.geometry.orientation import LYING_STEPS, STANDING_STEPS, turn_points, turns_for_step
from pose.synthetic.scene import PHONE_INTRINSICS, sample_scene

SEEDS = range(700_000, 700_012)
scene = cache(sample_scene)


def shape_numbers(shapes):
    return [(s.kind, s.part, s.owner, s.origin.tolist(), s.half.tolist(), s.radii) for s in shapes]


def test_the_step_is_one_of_the_posture():
    assert {scene(seed, "standing").step for seed in SEEDS} <= set(STANDING_STEPS)
    assert {scene(seed, "lying").step for seed in SEEDS} <= set(LYING_STEPS)
    empty = {turns_for_step(scene(seed, "empty").step) for seed in SEEDS}
    assert empty == {1, 3}


def test_frames_of_a_scan_share_child_room_and_phone():
    for posture in ("standing", "lying"):
        first, later = scene(700_000, posture), scene(700_000, posture, frame=8)
        assert first.people[0].measures == later.people[0].measures
        assert first.people[0].clothes == later.people[0].clothes
        assert first.intrinsics == later.intrinsics
        assert first.step == later.step


def test_the_phone_moves_with_every_frame_and_the_child_with_every_third():
    frames = [scene(700_001, "standing", frame=frame) for frame in range(6)]
    spots = {tuple(each.camera.position) for each in frames}
    assert len(spots) == 6
    joints = [each.people[0].joints for each in frames]
    reach = [np.linalg.norm(each[kp.LEFT_WRIST] - each[kp.LEFT_SHOULDER]) for each in joints]
    assert reach[:3] == pytest.approx([reach[0]] * 3)
    assert reach[3:] == pytest.approx([reach[3]] * 3)
    assert reach[0] != pytest.approx(reach[3])


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_turned_upright_the_head_is_at_the_top(posture):
    for seed in SEEDS:
        shown = scene(seed, posture)
        points, depth = shown.camera.project(shown.people[0].joints)
        k = shown.camera.intrinsics
        v = turn_points(points, turns_for_step(shown.step), k.width, k.height)[:, 1]
        assert (depth > 0.2).all()
        assert v[kp.NOSE] < v[[kp.LEFT_HIP, kp.RIGHT_HIP]].min()
        assert v[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].min() < v[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE]].max()


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_a_careful_scan_shows_the_child_from_the_distance_of_the_guidelines(posture):
    for seed in SEEDS:
        shown = scene(seed, posture)
        middle = shown.people[0].joints.mean(axis=0)
        assert 0.45 < np.linalg.norm(shown.camera.position - middle) < 1.7
        points, _ = shown.camera.project(shown.people[0].joints)
        inside = ((points > 0) & (points < (240, 180))).all(axis=1)
        assert inside.mean() > 0.6


def test_an_empty_room_holds_nobody_and_no_hands():
    for seed in SEEDS:
        room = scene(seed, "empty")
        assert room.people == []
        assert {shape.owner for shape in room.shapes} == {-1}


def test_a_second_person_comes_when_asked_for_and_by_chance_otherwise():
    assert all(len(scene(seed, "standing", second_person=True).people) == 2 for seed in SEEDS)
    assert all(len(scene(seed, "lying", second_person=False).people) == 1 for seed in SEEDS)
    alone = np.mean([len(sample_scene(seed, "standing").people) == 1 for seed in range(100)])
    assert 0.8 < alone < 0.98


def test_a_second_person_by_chance_is_in_six_of_nine_frames_of_the_same_room():
    seen = 0
    for seed in range(700_000, 700_030):
        frames = [sample_scene(seed, "standing", frame=frame) for frame in (0, 3, 6)]
        counts = sorted(len(frame.people) for frame in frames)
        assert counts in ([1, 1, 1], [1, 2, 2])
        seen += counts[-1] == 2
        rooms = [shape_numbers([s for s in frame.shapes if s.part == "wall"]) for frame in frames]
        assert len(rooms[0]) == len(rooms[1]) == len(rooms[2])
    assert seen


def test_people_have_numbers_of_their_own_and_stand_apart():
    both = scene(700_000, "standing", second_person=True).people
    assert [{shape.owner for shape in person.shapes} for person in both] == [{0}, {1}]
    between = both[0].joints[[11, 12]].mean(0) - both[1].joints[[11, 12]].mean(0)
    assert np.linalg.norm(between[[0, 2]]) > 0.2


def test_a_second_person_changes_nothing_of_the_first():
    alone, both = (scene(700_002, "standing", second_person=second) for second in (False, True))
    assert np.array_equal(alone.people[0].joints, both.people[0].joints)


def test_the_size_changes_nothing_but_the_camera():
    small, large = (scene(700_003, "lying", size) for size in ((180, 135), (640, 480)))
    assert shape_numbers(small.shapes) == shape_numbers(large.shapes)
    assert (small.camera.intrinsics.width, large.camera.intrinsics.height) == (180, 480)
    assert small.camera.intrinsics.fx / 180 == pytest.approx(large.camera.intrinsics.fx / 640)
    assert small.intrinsics == pytest.approx(PHONE_INTRINSICS, rel=0.03)


def test_the_cameras_rotation_is_one():
    for seed in SEEDS:
        rotation = scene(seed, "lying").camera.rotation
        assert rotation @ rotation.T == pytest.approx(np.eye(3))
        assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize(("seed", "posture"), [(1, "sitting"), (1, ""), (-1, "standing")])
def test_invalid_arguments_are_refused(seed, posture):
    with pytest.raises(ValueError):
        sample_scene(seed, posture)
