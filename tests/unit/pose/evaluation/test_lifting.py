"""The side-by-side comparison of two ways of lifting."""

from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import pose
from pose.evaluation import lifting
from pose.evaluation.harness import to_frame
from pose.evaluation.lifting import COMPARED, KINDS, SOURCES, Errors, compare, noisy_truth, punch_holes, table
from pose.synthetic.render import render


class Blind(pose.Estimator):
    """Finds the child of each frame that it was told, and nobody in others."""

    name, version = "blind", "1"

    def __init__(self, people=()):
        self.people = list(people)

    def detect(self, frames):
        return [pose.Detections(self.people) for _ in frames]


@pytest.fixture(scope="module")
def found():
    return compare(Blind(), len(KINDS))


def test_each_kind_is_measured_with_each_source_and_method(found):
    assert set(found) == {
        (kind, source, method) for kind in KINDS for source in SOURCES for method in COMPARED
    }
    assert {errors.frames for errors in found.values()} == {1}


def test_an_estimator_that_finds_nobody_has_no_errors(found):
    assert {errors.found for (_, source, _), errors in found.items() if source == "model"} == {0}
    assert all(errors.found == 1 for (_, source, _), errors in found.items() if source != "model")


def test_joints_inside_the_body_are_nearer_to_the_truth_than_the_nearest_pixels(found):
    def median(method):
        return np.median([v for (_, _, m), errors in found.items() if m == method for v in errors.visible])

    assert median("inside") < 0.02
    assert median("inside") < 0.6 * median("nearest")


def test_the_errors_are_those_of_the_joints_the_length_and_the_floor():
    rendering = render(900_001, "standing", second_person=False)
    frame = to_frame(rendering, 0)
    raised = replace(frame.depthmap, translation=frame.depthmap.translation + np.array([0, 0.1, 0]))
    truth = noisy_truth(frame, rendering, 0)
    errors, moved = Errors(), Errors()
    errors.add(frame, rendering, truth, "surface")
    moved.add(replace(frame, depthmap=raised), rendering, truth, "surface")
    assert moved.floor[0] == pytest.approx(0.1, abs=0.02)
    assert np.median(moved.visible) > np.median(errors.visible) + 0.03
    assert moved.length == pytest.approx(errors.length, abs=0.01)
    visible = rendering.keypoints(rendering.scene.people[0])[1]
    assert (len(errors.visible), len(errors.hidden)) == (visible.sum(), 17 - visible.sum())


def test_the_kinds_are_what_they_are_called():
    seeds = iter(range(300_000, 301_000))
    bed, helper = (lifting.render_kind(kind, seeds).scene for kind in ("bed", "helper"))
    assert "bed" in {shape.part for shape in bed.shapes}
    assert (len(bed.people), len(helper.people)) == (1, 2)
    with pytest.raises(ValueError, match="seed"):
        lifting.render_kind("bed", iter(()))


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_holes_take_their_share_of_the_measured_pixels(share):
    before = render(900_001, "standing").depthmap
    after = punch_holes(before, share, 1)
    lost = np.count_nonzero(before.depth) - np.count_nonzero(after.depth)
    assert lost / np.count_nonzero(before.depth) == pytest.approx(share, abs=0.01)
    kept = after.depth > 0
    assert (after.depth[kept] == before.depth[kept]).all()


def test_the_noise_is_three_pixels_of_a_picture_640_wide():
    rendering = render(900_001, "standing")
    frame = to_frame(rendering, 0)
    truth = frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])
    off = [noisy_truth(frame, rendering, seed).keypoints - truth for seed in range(30)]
    assert np.std(off) * 640 / frame.picture_size[0] == pytest.approx(3, rel=0.1)


def test_the_table_has_a_row_for_each_and_dashes_where_nothing_was_measured(found):
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(found)
    assert {line.count("|") for line in lines} == {12}
    assert "| standing | model | inside | 0 of 1 | - | - |" in lines[4]


def test_the_command_prints_the_table(monkeypatch):
    monkeypatch.setattr(lifting, "load_depth_network", lambda weights, device: Blind())
    app = typer.Typer()
    app.command()(lifting.main)
    ran = CliRunner().invoke(app, ["--renderings", "1"])
    assert ran.exit_code == 0
    assert "| standing | true + 3 px | inside | 1 of 1 |" in ran.output
