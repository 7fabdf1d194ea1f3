"""Renderings become training samples."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from pose import keypoints as kp
from pose.estimators.depth_hrnet import BODY_MAP, HEAD_MAP, MAPS
from pose.estimators.depth_input import INPUT_SIZE, STRIDE, depth_of, input_to_picture
from pose.estimators.heatmap import cells_to_pixels
from pose.geometry.orientation import turns_for_step
from pose.synthetic.render import FIRST_TRAINING_SEED, render
from pose.training import samples
from pose.training.samples import HIDDEN_WEIGHT, MAX_PEOPLE, to_sample, training_sample

sample = cache(training_sample)


def test_a_sample_has_the_shapes_and_types_that_it_says():
    one = sample(0)
    assert one["input"].shape == (3, *INPUT_SIZE)
    assert one["input"].dtype == torch.float16
    assert one["centres"].shape == (MAX_PEOPLE, MAPS, 2)
    assert one["present"].shape == (MAX_PEOPLE, MAPS)
    assert one["present"].dtype == torch.bool
    assert one["weight"].shape == (MAPS,)
    assert all(torch.isfinite(value).all() for value in one.values())


def test_the_same_number_gives_the_same_sample_and_another_number_another():
    again = training_sample(3)
    assert all(torch.equal(again[name], value) for name, value in sample(3).items())
    assert not torch.equal(sample(3)["input"], sample(4)["input"])


def test_no_sample_is_made_from_a_held_out_seed(monkeypatch):
    seeds = []

    def watched(seed, *arguments, **options):
        seeds.append(seed)
        return render(seed, *arguments, **options)

    monkeypatch.setattr(samples, "render", watched)
    for index in (0, 1, 999, 10**7):
        training_sample(index)
    assert seeds == [FIRST_TRAINING_SEED + index for index in (0, 1, 999, 10**7)]


def test_samples_are_of_all_kinds():
    drawn = [sample(index) for index in range(60)]
    empty = np.mean([not each["present"].any() for each in drawn])
    pairs = np.mean([bool(each["present"][1].any()) for each in drawn])
    without_floor = np.mean([not each["input"][2].any() for each in drawn])
    assert 0.03 < empty < 0.3
    assert 0.02 < pairs < 0.3
    assert 0.02 < without_floor < 0.3


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_centres_are_the_true_keypoints_seen_upright(posture):
    rendering = render(750_000, posture, second_person=False)
    made = to_sample(rendering, 0.0)
    person = rendering.scene.people[0]
    uv, visible = rendering.keypoints(person)
    turns = turns_for_step(rendering.scene.step)
    pixels = cells_to_pixels(made["centres"][0].double().numpy(), STRIDE)
    back = input_to_picture(pixels, turns, 240, 180)
    assert back[: kp.COUNT] == pytest.approx(uv, abs=1e-3)
    trunk, head = (person.joints[list(kp.TORSO)].mean(axis=0), person.head[1])
    middles, _ = rendering.scene.camera.project(np.stack([trunk, head]))
    assert back[[BODY_MAP, HEAD_MAP]] == pytest.approx(middles, abs=1e-3)
    # What is seen lies on something: the depth there is the person's.
    columns, rows = pixels[: kp.COUNT][visible].round().astype(int).T
    depth = depth_of(made["input"].float().numpy())[rows, columns]
    _, true = rendering.scene.camera.project(person.joints[visible])
    assert np.nanmedian(np.abs(depth - true)) < 0.1


def test_joints_outside_the_picture_are_absent_and_hidden_ones_count_less():
    outside = hidden = 0
    for seed in range(751_000, 751_040):
        rendering = render(seed, "standing", (180, 135), careful=False, second_person=False)
        uv, visible = rendering.keypoints(rendering.scene.people[0])
        made = to_sample(rendering, 0.0)
        beyond = ((uv < -0.6) | (uv > (179.6, 134.6))).any(axis=1)
        present, weight = made["present"][0, : kp.COUNT].numpy(), made["weight"][: kp.COUNT].numpy()
        assert not (present & beyond).any()
        assert (weight[visible] == 1).all()
        inside = ((uv > -0.4) & (uv < (179.4, 134.4))).all(axis=1)
        assert weight[~visible & inside] == pytest.approx(HIDDEN_WEIGHT)
        outside, hidden = outside + beyond.sum(), hidden + (~visible & inside).sum()
    assert outside > 5
    assert hidden > 5


def test_in_an_empty_room_nothing_is_there_and_everything_counts():
    made = to_sample(render(750_000, "empty"), 0.0)
    assert not made["present"].any()
    assert (made["weight"] == 1).all()


def test_a_second_person_who_is_hardly_visible_is_left_out():
    there = set()
    for seed in range(752_000, 752_014):
        rendering = render(seed, "lying", (180, 135), second_person=True)
        seen = rendering.keypoints(rendering.scene.people[1])[1].sum()
        made = to_sample(rendering, 0.0)
        # Trunk and head count as seen with any joint of theirs.
        if seen == 0:
            assert not made["present"][1].any()
        if seen >= 3:
            assert made["present"][1].any()
        there.add(bool(made["present"][1].any()))
    assert there == {False, True}


def test_without_a_floor_the_heights_are_unknown():
    rendering = render(750_001, "standing")
    assert not to_sample(rendering, None)["input"][2].any()
    assert to_sample(rendering, 0.0)["input"][2].any()
