"""Boxes follow the people that the depth network finds, or there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.estimators.base import Detections, Person
from pose.estimators.carried_boxes import carry_boxes, is_same_pose

BODY = np.stack([20.0 * (np.arange(kp.COUNT) % 5), 15.0 * np.arange(kp.COUNT)], axis=1) + 100


def body(shift=(0.0, 0.0), scale: float = 1.0, margin: float = 10.0, score: float = 0.9) -> Person:
    points = (BODY - 100) * scale + 100 + np.array(shift)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    return Person(points, np.full(kp.COUNT, score), (*low.tolist(), *high.tolist()), 0.95)


def seen(*people: Person, turns: int | None = 1, **options) -> Detections:
    return Detections(list(people), turns=turns, **options)


def test_a_box_moves_and_grows_as_the_depth_networks_keypoints_do():
    found, then, now = seen(body(margin=25)), seen(body()), seen(body((30, -12), 1.25))
    carried = carry_boxes("sparse", found, then, now)
    assert carried is not None
    low, high = BODY.min(axis=0) - 25, BODY.max(axis=0) + 25
    expected = np.concatenate([low - 100, high - 100]) * 1.25 + 100 + (30, -12, 30, -12)
    np.testing.assert_allclose(carried.boxes, [expected])
    assert carried.people == (now.people[0],)


def test_with_depth_the_box_is_that_of_the_depth_network():
    now = seen(body((30, -12)))
    carried = carry_boxes("depth", seen(body(margin=25)), seen(body()), now)
    assert carried is not None
    np.testing.assert_allclose(carried.boxes, [now.people[0].box])


def test_what_the_detector_is_not_sure_of_stays_and_comes_last():
    doubtful = replace(body((300, 0)), box_score=0.4)
    found = seen(body(), low_confidence=[doubtful])
    carried = carry_boxes("sparse", found, seen(body()), seen(body((5, 5))))
    assert carried is not None
    np.testing.assert_allclose(carried.boxes[1], doubtful.box)
    assert carried.scores.tolist() == [0.95, 0.4]
    assert len(carried.people) == 1


def test_two_people_keep_their_own_boxes():
    child, helper = body(), body((200, 0))
    now = seen(body((210, 0)), body((0, 9)))
    carried = carry_boxes("sparse", seen(helper, child), seen(child, helper), now)
    assert carried is not None
    expected = np.array([helper.box, child.box])
    expected[0, [0, 2]] += 10
    expected[1, [1, 3]] += 9
    np.testing.assert_allclose(carried.boxes, expected)


CHILD, FAR = body(), body((400, 0))


@pytest.mark.parametrize(
    ("found", "then", "now"),
    [
        (seen(), seen(), seen()),
        (seen(CHILD), seen(), seen(CHILD)),
        (seen(CHILD), seen(CHILD), seen()),
        (seen(CHILD), seen(CHILD), seen(CHILD, FAR)),  # somebody came
        (seen(CHILD, FAR), seen(CHILD, FAR), seen(CHILD)),  # somebody left
        (seen(CHILD, FAR), seen(CHILD), seen(CHILD)),  # the depth map does not show the second one
        (seen(CHILD), seen(CHILD, FAR), seen(CHILD, FAR)),  # the picture does not
        (seen(CHILD), seen(FAR), seen(FAR)),
        (seen(CHILD), seen(CHILD), seen(FAR)),  # too far for one step
        (seen(CHILD, CHILD), seen(CHILD, CHILD), seen(CHILD, CHILD)),  # which is which?
        (seen(CHILD), seen(CHILD), seen(CHILD, turns=2)),
        (seen(CHILD), seen(CHILD), seen(CHILD, turns=None)),
        (seen(CHILD), seen(CHILD), seen(CHILD, turns_uncertain=True)),
        (seen(CHILD), seen(body(score=0.1)), seen(body(score=0.1))),  # no keypoint to follow
    ],
)
def test_there_are_no_boxes_where_the_two_do_not_agree_who_is_there(found, then, now):
    assert carry_boxes("sparse", found, then, now) is None


def test_poses_are_the_same_if_most_keypoints_are_and_hrnet_is_sure():
    assert is_same_pose(body((3, 3)), body(score=0.5))
    assert not is_same_pose(body((80, 0)), body())
    assert not is_same_pose(body(score=0.5), body())
    assert not is_same_pose(body(), body(score=0.1))
