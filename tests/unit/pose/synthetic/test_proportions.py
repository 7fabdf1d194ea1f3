"""Body measures are consistent at any stature."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pose.synthetic.proportions import sample_measures

STATURES = (0.5, 0.6, 0.75, 0.9, 1.1, 1.3, 1.75)


def samples(stature, count=40):
    return [sample_measures(np.random.default_rng(seed), stature) for seed in range(count)]


@pytest.mark.parametrize("stature", STATURES)
def test_every_measure_is_positive_and_less_than_the_body(stature):
    for measures in samples(stature):
        values = dataclasses.asdict(measures)
        assert values.pop("stature") == stature
        assert all(0 < value < stature for value in values.values())


@pytest.mark.parametrize("stature", STATURES)
def test_heights_add_up_to_the_stature_with_room_for_a_trunk(stature):
    for measures in samples(stature):
        assert measures.ankle_height < measures.knee_height < measures.hip_height < 0.6 * stature
        assert 0.2 * stature < measures.spine < 0.5 * stature
        total = measures.hip_height + measures.spine + measures.neck + measures.head_height
        assert total == pytest.approx(stature)


def test_a_childs_head_is_larger_for_its_body_and_its_legs_are_shorter():
    def mean(stature, name):
        return np.mean([getattr(measures, name) for measures in samples(stature)]) / stature

    heads = [mean(stature, "head_height") for stature in STATURES]
    legs = [mean(stature, "hip_height") for stature in STATURES]
    assert heads == sorted(heads, reverse=True)
    assert legs == sorted(legs)


def test_girths_vary_more_than_bones():
    found = samples(0.9, 200)

    def spread(name):
        values = [getattr(measures, name) for measures in found]
        return np.std(values) / np.mean(values)

    assert spread("thigh") > 1.5 * spread("upper_arm")
