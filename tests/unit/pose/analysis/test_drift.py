"""How far apart two models find the same person."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.analysis.drift import LIMIT, MIN_KEYPOINTS, MIN_SCORE, Drift, compare
from tests.support.rendered import person

TORSO = 80.0


def someone(at=(0.0, 0.0), scores=0.95):
    """A person of 80 pixels from shoulders to hips, turned so that no axis is special."""
    upright = {
        "shoulder": -TORSO / 2,
        "hip": TORSO / 2,
        "elbow": 0.0,
        "wrist": 30.0,
        "knee": 90,
        "ankle": 140,
    }
    side = {"left": 15.0, "right": -15.0}
    points = np.zeros((kp.COUNT, 2))
    for index, name in enumerate(kp.NAMES):
        where, _, part = name.rpartition("_")
        points[index] = side.get(where, 0.0), upright.get(part, -70.0)
    angle = math.radians(30)
    turned = points @ np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    return person(turned + 300 + at, scores)


def away(ours, by):
    """Everybody of these frames, so many torso lengths to the right."""
    return [
        [replace(one, keypoints=one.keypoints + np.array([by * TORSO, 0])) for one in people]
        for people in ours
    ]


def test_equal_people_have_distance_zero():
    found = [[someone()], [someone((5, 5))]]
    drift = compare(found, found)
    assert (drift.frames, drift.keypoints, drift.distance) == (2, 34, 0.0)
    assert drift.offset_px == (0.0, 0.0)
    assert not drift.alarm


@pytest.mark.parametrize(("by", "alarm"), [(LIMIT - 0.01, False), (LIMIT + 0.01, True)])
def test_an_alarm_is_raised_above_the_limit_only(by, alarm):
    ours = [[someone((frame, 0))] for frame in range(3)]
    drift = compare(ours, away(ours, by))
    assert drift.distance == pytest.approx(by, abs=1e-4)
    assert drift.offset_px == pytest.approx((by * TORSO, 0), abs=0.01)
    assert (drift.alarm, drift.limit) == (alarm, LIMIT)


def test_the_offset_is_the_other_model_minus_ours():
    ours = [[someone()]]
    others = [[replace(ours[0][0], keypoints=ours[0][0].keypoints + np.array([-3, 7]))]]
    assert compare(ours, others).offset_px == (-3.0, 7.0)
    assert compare(others, ours).offset_px == (3.0, -7.0)


def test_the_worst_joint_is_named_and_does_not_move_the_median():
    ours = [[someone()] for _ in range(3)]
    others = away(ours, 0.0)
    for (one,) in others:
        one.keypoints[kp.INDEX["left_wrist"]] += (0, 2 * TORSO)
    drift = compare(ours, others)
    assert (drift.worst_joint, drift.worst_distance) == ("left_wrist", 2.0)
    assert drift.distance == 0.0
    assert not drift.alarm


def test_only_frames_in_which_each_found_exactly_one_person_are_compared():
    one, two = [someone()], [someone(), someone((200, 0))]
    drift = compare([one, one, two, [], one], [one, two, one, one, []])
    assert drift.frames == 1
    assert drift.keypoints == kp.COUNT


def test_keypoints_with_a_low_score_by_either_model_are_left_out():
    ours, others = someone(), someone()
    ours.scores[kp.NOSE] = MIN_SCORE - 0.01
    others.scores[kp.LEFT_ANKLE] = MIN_SCORE - 0.01
    others.keypoints[[kp.NOSE, kp.LEFT_ANKLE]] += 1000
    drift = compare([[ours]], [[others]])
    assert drift.keypoints == kp.COUNT - 2
    assert drift.worst_distance == 0.0


def test_a_torso_that_points_at_the_camera_in_one_frame_does_not_change_the_unit():
    folded = someone()
    folded.keypoints[list(kp.TORSO)] = folded.keypoints[kp.NOSE]
    ours = [[someone()], [folded], [someone()]]
    assert compare(ours, away(ours, 0.1)).distance == pytest.approx(0.1, abs=1e-4)


def test_too_few_keypoints_raise_no_alarm():
    scores = np.zeros(kp.COUNT)
    scores[: MIN_KEYPOINTS - 1] = 0.9
    ours = [[someone(scores=scores)]]
    drift = compare(ours, away(ours, 1.0))
    assert drift.distance == 1.0
    assert not drift.alarm
    scores[MIN_KEYPOINTS - 1] = 0.9
    ours = [[someone(scores=scores)]]
    assert compare(ours, away(ours, 1.0)).alarm


@pytest.mark.parametrize(
    ("ours", "frames"),
    [([], 0), ([[]], 0), ([[someone(scores=0.1)]], 1), ([[person(np.full((17, 2), 5.0))]], 0)],
    ids=["no frames", "nobody", "nothing sure", "no torso"],
)
def test_figures_are_none_if_nothing_can_be_compared(ours, frames):
    assert compare(ours, ours) == Drift(frames=frames)


def test_different_numbers_of_frames_raise_an_error():
    with pytest.raises(ValueError, match="shorter"):
        compare([[someone()]], [])
