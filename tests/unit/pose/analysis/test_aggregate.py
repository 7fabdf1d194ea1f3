"""A scan's figures from its frames."""

import numpy as np
import pytest

from pose import Posture, PostureEstimate, Skeleton
from pose import keypoints as kp
from pose.analysis.aggregate import Measured, aggregate_frames


def frame(length=0.9, posture=Posture.STANDING, confidence=0.8, counts=True, whole=True):
    joints = np.zeros((17, 3))
    for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN):
        joints[list(chain), 1] = np.linspace(length, 0, 4)
    observed = np.full(17, whole)
    observed[kp.NOSE] = True
    skeleton = Skeleton(joints, np.ones(17), np.zeros(17), observed)
    return Measured(PostureEstimate(posture, confidence), skeleton, counts)


def test_the_length_is_the_median_over_the_frames_that_count():
    frames = [frame(0.8), frame(0.9), frame(1.2), frame(5.0, counts=False)]
    _, length, used = aggregate_frames(frames)
    assert length == pytest.approx(0.9)
    assert used == 3


def test_frames_whose_chains_are_hidden_do_not_tell_the_length_if_others_do():
    frames = [frame(0.9), frame(0.5, whole=False), frame(0.5, whole=False)]
    assert aggregate_frames(frames)[1] == pytest.approx(0.9)
    assert aggregate_frames(frames)[2] == 3
    assert aggregate_frames(frames[1:])[1] == pytest.approx(0.5)


def test_the_posture_is_that_of_the_median_frame():
    frames = [frame(confidence=0.9), frame(confidence=0.7), frame(posture=Posture.LYING, confidence=0.9)]
    posture, _, _ = aggregate_frames(frames)
    assert posture == "standing"
    assert posture.confidence == pytest.approx(0.7)


def test_frames_that_disagree_evenly_tell_nothing():
    frames = [frame(confidence=0.8), frame(posture=Posture.LYING, confidence=0.8)]
    assert aggregate_frames(frames)[0] == "unknown"


def test_frames_that_cannot_tell_the_posture_abstain_and_leave_it_less_sure():
    frames = [frame(posture=Posture.UNKNOWN, confidence=0.0) for _ in range(3)] + [frame(confidence=0.8)]
    posture, _, _ = aggregate_frames(frames)
    assert posture == "standing"
    assert posture.confidence == pytest.approx(0.2)


def test_without_frames_that_count_there_is_a_posture_of_half_the_confidence_and_no_length():
    posture, length, used = aggregate_frames([frame(counts=False)])
    assert posture == "standing"
    assert posture.confidence == pytest.approx(0.4)
    assert length is None
    assert used == 0


def test_without_any_frame_nothing_is_known():
    posture, length, used = aggregate_frames([])
    assert posture.posture is Posture.UNKNOWN
    assert length is None
    assert used == 0
