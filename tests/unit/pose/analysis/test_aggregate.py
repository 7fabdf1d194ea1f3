"""The figures of a scan from those of its frames."""

import numpy as np
import pytest

from pose import Posture, PostureEstimate, Skeleton
from pose import keypoints as kp
from pose.analysis.aggregate import FrameFigures, aggregate_frames
from pose.analysis.body import Body
from pose.analysis.length_error import FEATURES, Evidence


def frame(length=0.9, posture=Posture.STANDING, confidence=0.8, weight=1.0, whole=True, **features):
    joints = np.zeros((17, 3))
    for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN):
        joints[list(chain), 1] = np.linspace(length, 0, 4)
    observed = np.full(17, whole)
    observed[kp.NOSE] = True
    skeleton = Skeleton(joints, np.ones(17), np.zeros(17), observed)
    evidence = Evidence(length, tuple(features.get(name, 0.0) for name in FEATURES))
    inside = np.ones(17, bool)
    return FrameFigures(Body(skeleton, PostureEstimate(posture, confidence), 1.0, inside, evidence), weight)


def aggregate(frames, strict=False):
    return aggregate_frames(frames, strict=strict)


@pytest.mark.parametrize("strict", [False, True])
def test_the_length_is_the_median_over_the_frames_that_count(strict):
    found = aggregate([frame(0.8), frame(0.9), frame(1.2), frame(5.0, weight=0.0)], strict)
    assert found.body_length.value == pytest.approx(0.9)
    assert found.body_length.low < 0.9 < found.body_length.high
    assert found.frames_used == 3


def test_frames_that_say_little_hardly_move_the_length():
    poor = [frame(1.2, low_score=0.9, sides=0.3, hidden=3), frame(1.3, low_score=0.9, sides=0.3, hidden=3)]
    assert aggregate([frame(0.9), *poor]).body_length.value == pytest.approx(0.9)
    assert aggregate([frame(0.9), *poor], strict=True).body_length.value == pytest.approx(1.2)


def test_the_interval_is_wider_for_frames_with_faults_and_for_frames_that_disagree():
    width = aggregate([frame(0.9), frame(0.9)]).body_length.half_width
    faults = {"low_score": 0.5, "proportions": 0.2}
    assert aggregate([frame(0.9, **faults), frame(0.9, **faults)]).body_length.half_width > 1.2 * width
    assert aggregate([frame(0.8), frame(1.0)]).body_length.half_width > 1.2 * width
    assert aggregate([frame(0.8), frame(1.0)]).frames_disagree


def test_with_strict_limits_frames_with_hidden_chains_give_the_length_only_if_no_others_do():
    hidden = [frame(0.5, whole=False), frame(0.5, whole=False)]
    found = aggregate([frame(0.9), *hidden], strict=True)
    assert found.body_length.value == pytest.approx(0.9)
    assert found.frames_used == 3
    assert aggregate(hidden, strict=True).body_length.value == pytest.approx(0.5)


def test_the_posture_is_that_of_the_median_frame():
    frames = [frame(confidence=0.9), frame(confidence=0.7), frame(posture=Posture.LYING, confidence=0.9)]
    found = aggregate(frames)
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.7)


def test_frames_that_disagree_evenly_give_no_posture():
    frames = [frame(confidence=0.8), frame(posture=Posture.LYING, confidence=0.8)]
    assert aggregate(frames).posture == "unknown"


def test_frames_of_unknown_posture_abstain_and_lower_the_confidence():
    frames = [frame(posture=Posture.UNKNOWN, confidence=0.0) for _ in range(3)] + [frame(confidence=0.8)]
    found = aggregate(frames)
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.2)


def test_without_frames_that_count_nothing_is_known():
    found = aggregate([frame(weight=0.0)])
    assert (found.posture.posture, found.body_length, found.frames_used) == (Posture.UNKNOWN, None, 0)
    assert aggregate([]).posture.posture is Posture.UNKNOWN


def test_with_strict_limits_the_posture_of_frames_that_do_not_count_has_half_the_confidence():
    found = aggregate([frame(weight=0.0)], strict=True)
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.4)
    assert (found.body_length, found.frames_used) == (None, 0)
