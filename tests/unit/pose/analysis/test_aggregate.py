"""The figures of a scan from those of its frames."""

import numpy as np
import pytest

from pose import Posture, PostureEstimate, Skeleton
from pose import keypoints as kp
from pose.analysis.aggregate import FrameFigures, aggregate_frames


def frame(length=0.9, posture=Posture.STANDING, confidence=0.8, counts=True, whole=True):
    joints = np.zeros((17, 3))
    for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN):
        joints[list(chain), 1] = np.linspace(length, 0, 4)
    observed = np.full(17, whole)
    observed[kp.NOSE] = True
    skeleton = Skeleton(joints, np.ones(17), np.zeros(17), observed)
    return FrameFigures(PostureEstimate(posture, confidence), skeleton, counts)


def test_the_length_is_the_median_over_the_frames_that_count():
    found = aggregate_frames([frame(0.8), frame(0.9), frame(1.2), frame(5.0, counts=False)])
    assert found.body_length == pytest.approx(0.9)
    assert found.frames_used == 3


def test_frames_with_hidden_chains_give_the_length_only_if_no_others_do():
    hidden = [frame(0.5, whole=False), frame(0.5, whole=False)]
    found = aggregate_frames([frame(0.9), *hidden])
    assert found.body_length == pytest.approx(0.9)
    assert found.frames_used == 3
    assert aggregate_frames(hidden).body_length == pytest.approx(0.5)


def test_the_posture_is_that_of_the_median_frame():
    frames = [frame(confidence=0.9), frame(confidence=0.7), frame(posture=Posture.LYING, confidence=0.9)]
    found = aggregate_frames(frames)
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.7)


def test_frames_that_disagree_evenly_give_no_posture():
    frames = [frame(confidence=0.8), frame(posture=Posture.LYING, confidence=0.8)]
    assert aggregate_frames(frames).posture == "unknown"


def test_frames_of_unknown_posture_abstain_and_lower_the_confidence():
    frames = [frame(posture=Posture.UNKNOWN, confidence=0.0) for _ in range(3)] + [frame(confidence=0.8)]
    found = aggregate_frames(frames)
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.2)


def test_without_frames_that_count_the_posture_has_half_the_confidence_and_there_is_no_length():
    found = aggregate_frames([frame(counts=False)])
    assert found.posture == "standing"
    assert found.posture.confidence == pytest.approx(0.4)
    assert (found.body_length, found.frames_used) == (None, 0)


def test_without_any_frame_nothing_is_known():
    found = aggregate_frames([])
    assert found.posture.posture is Posture.UNKNOWN
    assert (found.body_length, found.frames_used) == (None, 0)
