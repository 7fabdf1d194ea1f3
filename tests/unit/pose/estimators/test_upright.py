"""Where it is not certain which way is up, turns are compared by what is found after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pose import keypoints as kp
from pose.estimators.base import Detections, Person
from pose.estimators.upright import TurnedFrame, detect_upright, most_confident
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.scan.frame import Frame


def frame(step: int = 100, level: bool = False, order: int = 0) -> Frame:
    """A frame of a phone that is held as for a standing child, with a pose if it is level."""
    held = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    camera = Intrinsics(4, 4, 2, 1, 4, 3)
    depthmap = DepthMap(
        np.ones((3, 4), np.float32), None, camera, held if level else np.eye(3), pose_known=level
    )
    return Frame(order, step, np.zeros((3, 4, 3), np.uint8), depthmap)


def person(score: float, at: float = 0.0) -> Person:
    points = np.zeros((kp.COUNT, 2))
    points[[kp.LEFT_HIP, kp.RIGHT_HIP], 1] = 10
    points[:, 0] += at
    return Person(points, np.full(kp.COUNT, score), (0.0, 0.0, 1.0, 1.0), score)


class Network:
    """Finds a person in each frame with a score that depends on the turn, and remembers what it was shown."""

    def __init__(self, score: Callable[[Frame, float], float]) -> None:
        self.score = score
        self.shown: list[tuple[int, float]] = []

    def __call__(self, views: Sequence[TurnedFrame]) -> list[Detections]:
        self.shown += [(view.frame.order, view.turns) for view in views]
        scores = [self.score(view.frame, view.turns) for view in views]
        return [Detections([person(score)] if score else []) for score in scores]


@pytest.mark.parametrize("score", [0.0, 0.51])
def test_one_turn_is_enough_if_step_and_gravity_agree(score):
    network = Network(lambda _, turns: score)
    (found,) = detect_upright([frame(level=True)], network)
    assert network.shown == [(0, 1)]
    assert (found.turns, found.turns_uncertain) == (1, False)


def test_one_turn_is_enough_if_the_score_is_high():
    network = Network(lambda _, turns: 0.61 if turns == 3 else 0.3)
    (found,) = detect_upright([frame(200)], network)
    assert network.shown == [(0, 3)]
    assert (found.turns, found.turns_uncertain) == (3, False)


def test_a_low_score_is_doubted_even_if_step_and_gravity_agree():
    (found,) = detect_upright([frame(level=True)], Network(lambda _, turns: 0.55 if turns == 3 else 0.4))
    assert (found.turns, found.turns_uncertain) == (3, False)
    (found,) = detect_upright([frame(level=True)], Network(lambda _, turns: 0.4 if turns == 1 else 0.39))
    assert (found.turns, found.turns_uncertain) == (1, False)


def test_the_half_turn_is_compared_before_the_others():
    network = Network(lambda _, turns: {1.0: 0.4, 3.0: 0.55}.get(turns, 0.1))
    (found,) = detect_upright([frame()], network)
    assert [turns for _, turns in network.shown] == [1, 3]
    assert (found.turns, found.turns_uncertain) == (3, False)
    assert found.score == pytest.approx(0.55)


@pytest.mark.parametrize("turns", range(8))
def test_every_eighth_of_a_turn_is_found(turns):
    network = Network(lambda _, tried: 0.49 if tried == turns / 2 else 0.2)
    (found,) = detect_upright([frame(999)], network)
    assert found.score == pytest.approx(0.49)
    assert found.turns == round(turns / 2) % 4
    assert not found.turns_uncertain
    assert len(network.shown) == 8


def test_nothing_is_certain_if_another_turn_is_as_good():
    (found,) = detect_upright([frame()], Network(lambda _, turns: 0.45 if turns == 3 else 0.41))
    assert (found.turns, found.turns_uncertain) == (3, True)
    (found,) = detect_upright([frame()], Network(lambda _, turns: 0.0))
    assert (found.turns, found.turns_uncertain, found.people) == (1, True, [])


@pytest.mark.parametrize(
    ("score", "rival", "rival_turns", "level", "uncertain"),
    [
        (0.45, 0.41, 3.0, False, True),  # the head may be where the feet were found
        (0.45, 0.41, 2.5, False, True),
        (0.45, 0.38, 3.0, False, False),
        (0.45, 0.41, 2.0, False, False),  # a quarter turn does not swap head and feet
        (0.52, 0.48, 3.0, False, False),  # a high score is enough
        (0.45, 0.41, 3.0, True, False),  # gravity says so too
    ],
)
def test_an_unconfirmed_turn_must_be_clearly_better_than_the_half_turn(
    score, rival, rival_turns, level, uncertain
):
    network = Network(lambda _, turns: {1.0: score, rival_turns: rival}.get(turns, 0.1))
    (found,) = detect_upright([frame(level=level)], network)
    assert (found.turns, found.turns_uncertain) == (1, uncertain)


def test_a_low_score_after_an_unexpected_turn_is_nobody():
    (found,) = detect_upright([frame()], Network(lambda _, turns: 0.39 if turns == 3 else 0.0))
    assert (found.turns, found.turns_uncertain, found.people) == (1, True, [])


def test_frames_keep_their_own_turns_in_one_batch():
    best = {0: 1, 1: 3, 2: 0, 3: 1}
    network = Network(lambda shown, turns: 0.7 if turns == best[shown.order] else 0.2)
    found = detect_upright([frame(order=i, level=i == 3) for i in range(4)], network)
    assert [each.turns for each in found] == [1, 3, 0, 1]
    assert [order for order, _ in network.shown] == [0, 1, 2, 3, 1, 2, 2, 2]
    assert detect_upright([], network) == []


def test_who_was_found_only_after_another_turn_is_a_low_confidence_detection():
    def after(turns: float, *people: Person) -> tuple[TurnedFrame, Detections]:
        return TurnedFrame(frame(), turns), Detections(list(people), [person(0.1)])

    child, child_head_down, helper, weak = person(0.7), person(0.45, 4), person(0.5, 60), person(0.39, 90)
    tried = [after(1, child), after(3, child_head_down, helper, weak)]
    found = most_confident(tried)
    assert found.people == [child]
    assert found.low_confidence[1:] == [helper]
