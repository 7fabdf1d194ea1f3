"""A training of the stature learns, and writes weights that can be read."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from pose.stature.combine import Calibration, Calibrations
from pose.stature.weights import read_stature_model
from pose.training import stature
from pose.training.stature import fit, laplace_loss, rendered
from pose.training.stature_samples import stature_sample

sample = cache(stature_sample)
CALIBRATIONS = Calibrations(Calibration(3.0, 0.5), Calibration(4.0, 0.5))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(stature, "PART", 12)
    monkeypatch.setattr(stature, "BATCH", 8)
    monkeypatch.setattr(stature, "HELD_OUT", 6)
    monkeypatch.setattr(stature, "stature_sample", lambda index: sample(index % 24))


def console():
    return Console(file=io.StringIO(), width=200)


def test_samples_are_rendered_once(tmp_path, monkeypatch):
    first = rendered(tmp_path, 24, console())
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(stature, "stature_sample", lambda index: pytest.fail("rendered again"))
    again = rendered(tmp_path, 24, console())
    assert np.array_equal(first.lengths, again.lengths)
    assert 15 < len(first.lengths) <= 24


def test_a_training_fits_what_it_is_shown_and_is_the_same_each_time(tmp_path):
    samples = rendered(tmp_path, 24, console())
    before, after, again = (fit(samples, epochs, 0, console()) for epochs in (3, 30, 3))
    inputs = [
        torch.from_numpy(each.astype(np.float32)) for each in (samples.head, samples.body, samples.features)
    ]
    true = torch.from_numpy(samples.lengths)
    with torch.inference_mode():
        errors = [(network(*inputs)[0] - true).abs().mean() for network in (before, after)]
        assert torch.equal(again(*inputs)[0], before(*inputs)[0])
    assert errors[1] < 0.6 * errors[0]


def test_the_loss_is_least_where_the_scale_is_that_of_the_errors():
    true, found = torch.zeros(1000, 2), torch.full((1000, 2), 0.01)
    losses = [
        laplace_loss(found, torch.full_like(found, np.log(scale)), true) for scale in (0.005, 0.01, 0.02)
    ]
    assert losses[1] == min(losses)


def test_the_command_writes_weights_that_the_package_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(stature, "calibrate", lambda network, scans, console: CALIBRATIONS)
    arguments = [str(tmp_path), "--samples", "1000", "--epochs", "3"]
    monkeypatch.setattr(stature, "rendered", lambda out, count, console: RENDERED(out, 24, console))
    done = CliRunner().invoke(app(), arguments)
    assert done.exit_code == 0, done.output
    model = read_stature_model(tmp_path / "stature.safetensors")
    assert model.calibrations == CALIBRATIONS
    assert model.version.startswith("1000-")


def test_a_run_that_was_stopped_before_its_intervals_were_set_goes_on_from_the_learned_weights(
    tmp_path, monkeypatch
):
    def stopped(network, scans, console):
        raise KeyboardInterrupt

    arguments = [str(tmp_path), "--samples", "1000", "--epochs", "3"]
    monkeypatch.setattr(stature, "rendered", lambda out, count, console: RENDERED(out, 24, console))
    monkeypatch.setattr(stature, "calibrate", stopped)
    assert CliRunner().invoke(app(), arguments).exit_code != 0
    learned = load_file(tmp_path / "uncalibrated.safetensors")
    monkeypatch.setattr(stature, "calibrate", lambda network, scans, console: CALIBRATIONS)
    monkeypatch.setattr(stature, "fit", lambda *arguments: pytest.fail("learned again"))
    assert CliRunner().invoke(app(), arguments).exit_code == 0
    written = load_file(tmp_path / "stature.safetensors")
    assert all(torch.equal(learned[name], written[name]) for name in learned)


def test_a_run_with_other_arguments_learns_again(tmp_path, monkeypatch):
    monkeypatch.setattr(stature, "calibrate", lambda network, scans, console: CALIBRATIONS)
    monkeypatch.setattr(stature, "rendered", lambda out, count, console: RENDERED(out, 24, console))
    digests = []
    for epochs in ("3", "4"):
        arguments = [str(tmp_path), "--samples", "1000", "--epochs", epochs]
        assert CliRunner().invoke(app(), arguments).exit_code == 0
        digests.append(read_stature_model(tmp_path / "stature.safetensors").version)
    assert digests[0] != digests[1]


RENDERED = rendered


def app():
    import typer

    made = typer.Typer()
    made.command()(stature.main)
    return made
