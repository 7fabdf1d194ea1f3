"""Find people in frames of which it is not certain how they must be turned.

Networks know people who are seen head up. On a body that is seen head down they find keypoints too, with the
head at the feet, but with lower scores. So where step and gravity do not confirm each other, several turns
are compared by the score of what is found after them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pose import keypoints as kp
from pose.estimators.base import Detections, Person
from pose.geometry.orientation import ExpectedTurns, expected_turns, turns_between
from pose.scan.frame import Frame

# Further quarter turns, which are tried one round after the other until a person's score is high enough.
_ROUNDS: Final = ((2.0,), (1.0, 3.0), (0.5, 1.5, 2.5, 3.5))
# Mean keypoint scores of depth-hrnet. On 620 rendered frames, with and without the phone's pose, the median
# was 0.66 after the right turn. It was 0.55 at most after a wrong turn by a half, 0.44 by a quarter.
_SURE: Final = 0.6  # the first turn is enough
_LIKELY: Final = 0.5  # no further round is tried, and a turn that is confirmed is not doubted
# The best of several turns is uncertain if another one's score is nearer. In those frames a wrong turn was
# the best in two, by 0.044 and 0.048.
_MARGIN: Final = 0.06
_OTHER_TURN: Final = 0.75  # turns that are nearer show the same
# An expected turn that is not confirmed is compared with turns that are at least this far from it: they swap
# head and feet. In six rendered frames the head was found at the feet after the expected turn. Its score was
# higher than the right turn's by 0.002 to 0.045 in five of them, by 0.085 in one.
_HALF_TURN: Final = 1.5
# A person who was found after another turn than the expected one has at least this score. In 100 rendered
# empty rooms it prevents two of three false alarms.
_MIN_SCORE: Final = 0.4


@dataclass(frozen=True, eq=False)
class TurnedFrame:
    """A frame, and the quarter turns clockwise after which it is shown to a network."""

    frame: Frame
    turns: float


DetectTurned = Callable[[Sequence[TurnedFrame]], list[Detections]]


def detect_upright(frames: Sequence[Frame], detect: DetectTurned) -> list[Detections]:
    """Return the detections in each frame after the turn whose best person has the highest score.

    Args:
        frames: of any scans.
        detect: returns the detections in frames after given turns.
    """
    expected = [expected_turns(frame.step, frame.depthmap) for frame in frames]
    quarters = [round(each.turns) for each in expected]
    first = [TurnedFrame(frame, each.turns) for frame, each in zip(frames, expected, strict=True)]
    tried = [[found] for found in zip(first, detect(first), strict=True)]
    unsure = [i for i, each in enumerate(expected) if not _is_enough(each, tried[i][0][1])]
    for turns in _ROUNDS:
        numbers = [i for i in unsure for _ in turns]
        views = [TurnedFrame(frames[i], (quarters[i] + more) % 4) for i in unsure for more in turns]
        for i, view, found in zip(numbers, views, detect(views), strict=True):
            tried[i].append((view, found))
        unsure = [i for i in unsure if _highest(tried[i]) < _LIKELY]
    return [most_confident(of_frame, each) for of_frame, each in zip(tried, expected, strict=True)]


def most_confident(
    tried: Sequence[tuple[TurnedFrame, Detections]], expected: ExpectedTurns | None = None
) -> Detections:
    """Return the detections after the best of several turns, with `turns` and `turns_uncertain`.

    People who were found only after another turn are added as low-confidence detections: a helper may stand
    beside a child who lies.

    Args:
        tried: different turns of one frame, and what was found.
        expected: the turn that was tried first; None if all turns are equally likely.
    """
    likely = [
        each
        for each in tried
        if expected is None or each[0].turns == expected.turns or each[1].score >= _MIN_SCORE
    ]
    best, found = max(likely, key=lambda each: each[1].score)
    others = [each for view, each in tried if turns_between(view.turns, best.turns) >= _OTHER_TURN]
    elsewhere = [
        person
        for each in others
        for person in each.people
        if person.score >= _MIN_SCORE and not any(_is_same_body(person, known) for known in found.people)
    ]
    return replace(
        found,
        low_confidence=[*found.low_confidence, *elsewhere],
        turns=round(best.turns) % 4,
        turns_uncertain=_is_uncertain(best.turns, tried, expected),
    )


def _is_uncertain(
    best: float, tried: Sequence[tuple[TurnedFrame, Detections]], expected: ExpectedTurns | None
) -> bool:
    """Return whether another turn is about as likely as the best one."""

    def highest(distance: float) -> float:
        """Return the highest score after turns that are at least this far from the best one."""
        far = [found.score for view, found in tried if turns_between(view.turns, best) >= distance]
        return max(far, default=-1.0)

    score = next(found.score for view, found in tried if view.turns == best)
    if expected is None or best != expected.turns:
        return score - highest(_OTHER_TURN) <= _MARGIN
    if score <= highest(_OTHER_TURN):
        return True
    return not expected.confirmed and score < _LIKELY and score - highest(_HALF_TURN) <= _MARGIN


def _is_enough(expected: ExpectedTurns, found: Detections) -> bool:
    """Return whether no other turn has to be tried than the expected one.

    A confirmed turn is doubted only if the score is low. The pose in the file can be wrong too.
    """
    if expected.confirmed:
        return not found.people or found.score >= _LIKELY
    return found.score >= _SURE


def _highest(tried: Sequence[tuple[TurnedFrame, Detections]]) -> float:
    return max(found.score for _, found in tried)


def _is_same_body(a: Person, b: Person) -> bool:
    """Return whether the middles of two trunks are nearer than the trunks are long."""
    trunks = [person.keypoints[list(kp.TORSO)] for person in (a, b)]
    length = max(float(np.linalg.norm(trunk[:2].mean(axis=0) - trunk[2:].mean(axis=0))) for trunk in trunks)
    return bool(np.linalg.norm(trunks[0].mean(axis=0) - trunks[1].mean(axis=0)) < length)
