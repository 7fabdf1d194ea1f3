"""The model that ships finds the child, and nobody where nobody is.

These run on few renderings; `python -m pose.evaluation.estimator` gives the figures.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.evaluation.handling import parse_handling
from pose.evaluation.harness import to_frame
from pose.geometry.orientation import turns_between, turns_of_person
from pose.hrnet import VARIANTS
from pose.synthetic.render import render
from pose.weights.checkpoint import MAX_BYTES, embedded_path, read_checkpoint
from tests.support import tiny  # noqa: F401 - torch on one thread

MAX_SHIPPED = 8_000_000
FIRST_SEED = 800_000  # held out, and no part of what `evaluate` measures


@pytest.fixture(scope="module")
def estimator():
    return pose.load_estimator("depth-hrnet", device="cpu")


@cache
def scans(posture, count, **options):
    renderings = [render(FIRST_SEED + i, posture, **options) for i in range(count)]
    return renderings, [to_frame(rendering, i) for i, rendering in enumerate(renderings)]


def errors(estimator, posture, count=12, **options):
    """Of visible keypoints of the first person of each frame, in torso lengths."""
    renderings, frames = scans(posture, count, **options)
    found = []
    for rendering, frame, people in zip(renderings, frames, estimator.estimate(frames), strict=True):
        assert people, f"nobody was found in {posture} {FIRST_SEED + frame.order}"
        uv, visible = rendering.keypoints(rendering.scene.people[0])
        truth = frame.view.to_picture(uv)
        torso = np.linalg.norm(truth[[5, 6]].mean(axis=0) - truth[[11, 12]].mean(axis=0))
        found.append(np.linalg.norm(people[0].keypoints - truth, axis=1)[visible] / torso)
    return np.concatenate(found)


def test_the_file_is_small_and_has_its_facts():
    path = embedded_path()
    assert path.is_file(), "the package is not whole: pose/data has no weights"
    assert path.stat().st_size <= MAX_SHIPPED < MAX_BYTES
    checkpoint = read_checkpoint(path)
    assert checkpoint.facts["name"] == "depth-hrnet"
    assert checkpoint.facts["variant"] in VARIANTS
    assert all(np.isfinite(value.double().numpy()).all() for value in checkpoint.tensors.values())


def test_it_has_a_model_card():
    card = (embedded_path().parent / "MODEL_CARD.md").read_text()
    assert embedded_path().name in card
    assert "⟨" not in card  # nothing is left to be filled in


def test_its_name_is_that_in_results(estimator):
    assert estimator.name == "depth-hrnet"
    assert estimator.version == read_checkpoint(embedded_path()).facts["version"]


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_it_finds_the_child_and_its_joints(estimator, posture):
    found = errors(estimator, posture, second_person=False)
    assert (found < 0.2).mean() > 0.85
    assert np.median(found) < 0.1


@pytest.mark.parametrize("size", [(180, 135), (640, 480)])
def test_it_finds_them_in_depth_maps_of_every_size(estimator, size):
    assert (errors(estimator, "standing", 4, size=size, second_person=False) < 0.2).mean() > 0.8


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_it_finds_one_person_in_a_scan_of_one(estimator, posture):
    _, frames = scans(posture, 12, second_person=False)
    alone = [len(people) == 1 for people in estimator.estimate(frames)]
    assert np.mean(alone) >= 0.75


def test_it_does_not_swap_left_and_right(estimator):
    renderings, frames = scans("standing", 12, second_person=False)
    right = wrong = 0
    for rendering, frame, people in zip(renderings, frames, estimator.estimate(frames), strict=True):
        truth = frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])
        across = truth[5] - truth[6]
        found = people[0].keypoints[5] - people[0].keypoints[6]
        if np.linalg.norm(across) > 15:  # seen from the side neither is left of the other
            right, wrong = right + (found @ across > 0), wrong + (found @ across <= 0)
    assert right > 5
    assert wrong <= 1


@pytest.mark.parametrize("posture", ["standing", "lying"])
@pytest.mark.parametrize(
    "handling", ["upside", "roll:90", "roll:-90,step:999", "roll:45", "step:other", "upside,pose:none"]
)
def test_it_finds_out_which_way_is_up(estimator, posture, handling):
    handled = parse_handling(handling)
    renderings, frames = scans(posture, 10, second_person=False, roll=handled.roll)
    found = estimator.detect(handled.applied(pose.Scan(frames[0].step, tuple(frames), (), "0" * 64)).frames)
    right = 0
    for rendering, frame, each in zip(renderings, frames, found, strict=True):
        truth = frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])
        head, feet = truth[list(kp.HEAD)].mean(axis=0), truth[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE]].mean(axis=0)
        seen = each.people[0].keypoints[list(kp.HEAD)].mean(axis=0) if each.people else feet
        right += np.linalg.norm(seen - head) < 0.2 * np.linalg.norm(head - feet)
        tilt = turns_between(turns_of_person(truth, np.ones(kp.COUNT)), each.turns)
        assert each.turns_uncertain or not each.people or tilt <= 1
    assert right >= 8


def test_it_finds_nobody_in_empty_rooms(estimator):
    _, frames = scans("empty", 20)
    assert sum(bool(people) for people in estimator.estimate(frames)) <= 2


def test_it_finds_nobody_where_nothing_was_measured(estimator):
    _, (frame, *_) = scans("standing", 12, second_person=False)
    blank = pose.DepthMap(np.zeros((180, 240), np.float32), None, frame.depthmap.intrinsics)
    assert estimator.estimate([pose.Frame(0, 100, frame.rgb, blank)]) == [[]]


def test_it_finds_nobody_in_a_real_room_without_a_child(estimator, plush):
    assert estimator.estimate(pose.read_scan(plush).frames) == [[], [], []]


def test_it_finds_children_also_where_the_phone_does_not_know_its_pose(estimator):
    renderings, frames = scans("standing", 12, second_person=False)
    lost = []
    for rendering, frame in zip(renderings, frames, strict=True):
        known = rendering.depthmap
        unknown = pose.DepthMap(known.depth, known.confidence, known.intrinsics)
        lost.append(pose.Frame(frame.order, frame.step, frame.rgb, unknown))
    assert np.mean([len(people) > 0 for people in estimator.estimate(lost)]) > 0.8
