"""Similarity, rescoring and suppression, against what the definitions say keypoint by keypoint."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.cocoeval import Params  # type: ignore[import-untyped]  # it ships no types

from pose.evaluation.oks import SIGMAS, oks, rescore, suppress


def people(count, seed=0, spread=3.0):
    """`count` people (n, 17, 2) around one place, so that some are alike."""
    rng = np.random.default_rng(seed)
    body = rng.uniform(50, 150, (17, 2))
    return body + rng.normal(0, spread, (count, 17, 2)) * rng.uniform(0, 3, (count, 1, 1))


def similarity_by_definition(one, other, area, other_area):
    total = 0.0
    for i in range(17):
        d2 = (one[i][0] - other[i][0]) ** 2 + (one[i][1] - other[i][1]) ** 2
        total += math.exp(-d2 / (2 * ((area + other_area) / 2) * (2 * SIGMAS[i]) ** 2))
    return total / 17


def suppressed_by_definition(keypoints, scores, areas, most):
    """The indices that stay: each person in turn, the best first, unless like one that stays already."""
    stay: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        likeness = (similarity_by_definition(keypoints[k], keypoints[i], areas[k], areas[i]) for k in stay)
        if all(value <= most for value in likeness):
            stay.append(i)
    return stay


def test_deviations_are_those_of_coco():
    assert Params("keypoints").kpt_oks_sigmas == pytest.approx(SIGMAS)


def test_the_oks_of_a_person_with_itself_is_one():
    (one,) = people(1)
    assert oks(one, one[None], 900.0, np.array([400.0])) == pytest.approx([1.0])


def test_oks_is_as_defined():
    found = people(5)
    areas = np.array([4000.0, 900.0, 10_000.0, 2500.0, 60.0])
    expected = [similarity_by_definition(found[0], found[i], areas[0], areas[i]) for i in range(5)]
    assert oks(found[0], found, areas[0], areas) == pytest.approx(expected, abs=1e-12)
    assert min(expected) < 0.9 < max(expected)


def test_a_score_is_that_of_the_box_times_the_mean_of_confident_keypoints():
    scores = np.full((2, 17), 0.1)
    scores[0, :3] = 0.9, 0.3, 0.6
    scores[1, 4] = 0.5
    assert rescore([0.5, 1.0], scores) == pytest.approx([0.5 * 0.6, 0.5])


def test_a_keypoint_score_equal_to_the_limit_does_not_count():
    scores = np.zeros((1, 17))
    scores[0, 0], scores[0, 1] = 0.2, 0.8
    assert rescore([1.0], scores) == pytest.approx([0.8])


def test_a_person_without_a_confident_keypoint_has_score_zero():
    assert rescore([0.99], np.full((1, 17), 0.15)) == pytest.approx([0.0])


def test_the_better_of_two_similar_detections_and_another_person_are_kept():
    one = people(1)[0]
    found = np.stack([one + 1, one, one + 500])
    assert suppress(found, np.array([0.5, 0.9, 0.1]), np.full(3, 10_000.0)) == [1, 2]


def test_without_detections_none_is_kept():
    assert suppress(np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0)) == []


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), most=st.sampled_from([0.5, 0.9]))
def test_suppression_is_as_defined(seed, count, most):
    found = people(count, seed)
    rng = np.random.default_rng([seed, 1])
    scores, areas = rng.permutation(count) / count, rng.uniform(2000, 8000, count)
    assert suppress(found, scores, areas, most) == suppressed_by_definition(found, scores, areas, most)
