"""Renderings become training samples of the stature."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pytest

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.stature.body import FEATURES, UP
from pose.synthetic.render import FIRST_TRAINING_SEED, render
from pose.training import stature_samples
from pose.training.stature_samples import (
    FIRST_SEED,
    MAX_STATURE,
    StatureSamples,
    as_real_phones,
    crown_along,
    shadowed,
    stature_sample,
)

sample = cache(stature_sample)
NUMBERS = range(24)


def drawn():
    return [each for each in (sample(number) for number in NUMBERS) if each is not None]


def test_most_samples_can_be_used_and_have_the_shapes_that_they_say():
    assert len(drawn()) > 0.8 * len(NUMBERS)
    for each in drawn():
        assert (each.head.shape, each.body.shape) == ((1, 5, 40, 40), (1, 5, 72, 36))
        assert (each.features.shape, each.lengths.shape, each.facts.shape) == ((1, FEATURES), (1, 2), (1, 4))
        assert np.isfinite(each.features).all()


def test_the_same_number_gives_the_same_sample():
    again: Any = stature_sample(1)
    for each in fields(StatureSamples):
        assert np.array_equal(getattr(again, each.name), getattr(sample(1), each.name))


def test_seeds_are_those_of_no_evaluation_and_not_of_the_depth_network(monkeypatch):
    seeds = []

    def watched(seed, *arguments, **options):
        seeds.append(seed)
        return render(seed, *arguments, **options)

    monkeypatch.setattr(stature_samples, "render", watched)
    stature_sample(2)
    assert seeds == [FIRST_SEED + 2]
    assert FIRST_SEED > FIRST_TRAINING_SEED


def test_children_stand_and_lie_and_none_is_an_adult():
    facts = np.concatenate([each.facts for each in drawn()])
    assert 0.2 < facts[:, 2].mean() < 0.9
    assert facts[:, 3].max() <= MAX_STATURE


def test_the_rest_and_what_is_to_be_told_are_the_stature():
    for each in drawn():
        rest = each.features[0, 3 * 12 + 12 + 6 + 1]
        assert rest + each.lengths[0, 1] == pytest.approx(each.facts[0, 3], abs=1e-4)
        assert abs(each.lengths[0, 0]) < 0.3


def test_samples_are_joined_in_their_order():
    both = StatureSamples.joined(drawn()[:2])
    assert np.array_equal(both.features[1], drawn()[1].features[0])


def wall_behind(left, right):
    """A depth map of a wall 2 m away with an object 1 m away in columns left to right."""
    depth = np.full((40, 60), 2.0, np.float32)
    depth[10:30, left:right] = 1.0
    depth[0, 0] = 0.0
    return DepthMap(depth, None, Intrinsics(60, 60, 30, 20, 60, 40), np.eye(3), np.zeros(3), True)


def test_a_shadow_takes_what_is_behind_on_one_side_of_the_nearer_surface_only():
    lost = shadowed(wall_behind(20, 30), 5, 0).depth == 0
    assert lost[10:30, 30:35].all()
    assert lost.sum() == 20 * 5 + 1  # and the pixel that was not measured before


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_shadow_of_each_turn_is_as_wide_and_keeps_the_nearer_surface(turns):
    depthmap = wall_behind(20, 40)
    found = shadowed(depthmap, 5, turns)
    assert (found.depth == 0).sum() == 20 * 5 + 1
    assert (found.depth[10:30, 20:40] == 1).all()
    assert depthmap.depth.shape == found.depth.shape


def test_hair_returns_light_in_more_samples_than_in_renderings(monkeypatch):
    monkeypatch.setattr(stature_samples, "_SHADOWED", 0.0)
    rng, lost = np.random.default_rng(0), [0, 0]
    for seed in range(5, 17):
        rendering = render(seed, "standing", second_person=False)
        hair = np.array([each.part == "hair" for each in rendering.scene.shapes] + [False])[
            rendering.hits.index
        ]
        for number, each in enumerate((rendering, as_real_phones(rendering, True, rng))):
            lost[number] += int((hair & (each.depthmap.depth == 0)).sum())
    assert lost[1] < 0.8 * lost[0]


def test_the_crown_is_the_highest_point_of_the_skull():
    person = render(3, "standing").scene.people[0]
    frame, middle, radii = person.head
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20_000, 3))
    points = middle + points / np.linalg.norm(points, axis=1, keepdims=True) * radii @ frame.T
    assert crown_along(person, UP) == pytest.approx(points[:, 1].max(), abs=0.001)
