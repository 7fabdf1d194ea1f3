"""The person in the picture and the person in the depth map must be the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.analysis.agreement import PEOPLE_LIMIT, is_misaligned, people_distance
from pose.estimators.base import Detections
from pose.scan.frame import Scan
from tests.support.rendered import KnowingEstimator, with_face

TRUTH = with_face()
SOMEONE = TRUTH.people[0]


def found(offset=0.0, people=1, in_depth=1):
    """One person, and in the depth map the same so many torso lengths away."""
    corners = SOMEONE.keypoints[list(kp.TORSO)]
    torso = np.linalg.norm(corners[:2].mean(axis=0) - corners[2:].mean(axis=0))
    away = replace(SOMEONE, keypoints=SOMEONE.keypoints + np.array([offset * torso, 0]))
    return Detections([SOMEONE] * people, in_depth=[away] * in_depth)


@pytest.mark.parametrize("offset", [0.0, 0.2, 1.0])
def test_the_distance_is_in_torso_lengths(offset):
    assert people_distance(found(offset)) == pytest.approx(offset, abs=0.15)


def test_left_and_right_may_be_mixed_up():
    other = replace(SOMEONE, keypoints=SOMEONE.keypoints[list(kp.MIRRORED)])
    assert people_distance(Detections([SOMEONE], in_depth=[other])) == pytest.approx(0)


@pytest.mark.parametrize(("people", "in_depth"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_without_one_person_in_each_nothing_is_compared(people, in_depth):
    assert people_distance(found(1.0, people, in_depth)) is None
    assert not is_misaligned(TRUTH.frame, found(1.0, people, in_depth))


def test_people_far_apart_make_a_frame_misaligned():
    assert not is_misaligned(TRUTH.frame, found(PEOPLE_LIMIT - 0.15))
    assert is_misaligned(TRUTH.frame, found(PEOPLE_LIMIT + 0.15))


def test_edges_alone_make_a_frame_misaligned():
    mirrored = replace(TRUTH.frame, rgb=np.ascontiguousarray(TRUTH.frame.rgb[:, ::-1]))
    assert is_misaligned(mirrored, Detections([]))


def test_the_analysis_gives_neither_picture_nor_3d():
    class InPictures(KnowingEstimator):
        def detect(self, frames):
            return [found(1.0) for _ in frames]

    scan = Scan(TRUTH.frame.step, (TRUTH.frame,), (), "0" * 64)
    frame = pose.analyse_scan(scan, InPictures({})).result.frames[0]
    assert "misaligned" in frame.quality
    assert frame.alignment is not None
    assert frame.alignment.people_distance == pytest.approx(1.0, abs=0.15)
    assert frame.alignment.margin > frame.alignment.limit
    assert frame.picture is None
    assert frame.people[0].skeleton is None
