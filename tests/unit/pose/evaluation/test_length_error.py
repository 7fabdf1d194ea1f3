"""The constants of intervals, from errors that are known."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pose.analysis.length_error import FEATURES, ErrorModel, Evidence, to_json
from pose.evaluation import length_error as measured
from pose.evaluation.length_error import (
    Measured,
    biased,
    conformal_interval,
    fit,
    fit_scale,
    measure_scan,
    report,
)
from tests.support.estimators import FindsNobody
from tests.support.rendered import with_face


def scans(count, seed=0, frames=3):
    """Scans whose frames err by 2 %, and by e times as much for each hidden joint. Sides tell nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        features = np.zeros((frames, len(FEATURES)))
        features[:, FEATURES.index("hidden")] = rng.integers(0, 3)
        features[:, FEATURES.index("sides")] = rng.uniform(0, 0.4)
        sizes = 0.02 * np.exp(features[:, FEATURES.index("hidden")])
        lengths = 0.8 * np.exp(rng.laplace(0, sizes))
        evidence = [Evidence(float(a), tuple(b.tolist())) for a, b in zip(lengths, features, strict=True)]
        kind = measured.KINDS[number % 3]
        found.append(Measured(kind, "standing", evidence, [0.8] * frames, 0.8))
    return found


@pytest.fixture(scope="module")
def model():
    return fit(scans(1200), "invented errors")


def test_the_coefficients_are_those_of_the_errors(model):
    named = dict(zip(FEATURES, model.coefficients, strict=True))
    assert np.exp(model.constant) == pytest.approx(0.02, rel=0.1)
    assert named["hidden"] == pytest.approx(1.0, abs=0.08)
    assert named["sides"] < 0.3
    assert [named[name] for name in ("pitch", "far", "lying")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_intervals_hold_the_truth_of_other_scans_and_are_no_wider_than_needed(model):
    found = report(model, scans(1500, seed=1))
    assert 0.93 <= found["all"]["interval_holds_truth"] <= 0.97
    assert found["lying"] == {"scans": 0}
    assert found["all"]["half_width_percent_p10"] < 5 < found["all"]["half_width_percent_p90"]


def test_a_posture_with_larger_errors_has_a_wider_interval():
    rng = np.random.default_rng(4)
    found = []
    for number, each in enumerate(scans(1200)):
        lies = number % 2
        features = tuple(float(lies) * (name == "lying") for name in FEATURES)
        # Both have the same expected size, but those who lie have rare, large errors.
        error = 0.02 * (rng.uniform(-1, 1) if not lies else rng.choice([0.0, 5.0, -5.0], p=[0.8, 0.1, 0.1]))
        frames = [Evidence(0.8 * float(np.exp(error)), features)]
        found.append(Measured(each.kind, ("standing", "lying")[lies], frames, [0.8], 0.8))
    (low, high), (lying_low, lying_high) = fit(found, "invented errors").intervals
    assert high - low < 0.8 * (lying_high - lying_low)


def test_biased_keypoints_of_one_kind_move_together_along_the_trunk():
    person = with_face().people[0]
    moved, again, other = (biased(person, seed) for seed in (1, 1, 2))
    shifts = moved.keypoints - person.keypoints
    assert np.array_equal(moved.keypoints, again.keypoints)
    assert not np.allclose(moved.keypoints, other.keypoints)
    for pair in ((11, 12), (13, 14), (15, 16)):
        assert shifts[pair[0]] == pytest.approx(shifts[pair[1]])
        assert np.abs(shifts[pair[0]]).max() > 0
    assert not shifts[5:11].any()


def test_a_scale_within_bounds_is_the_best_within_them():
    rng = np.random.default_rng(3)
    facts = np.column_stack((np.ones(4000), rng.uniform(0, 1, 4000)))
    errors = rng.laplace(0, np.exp(facts @ (-2.0, -1.0)))
    assert fit_scale(facts, errors) == pytest.approx([-2.0, -1.0], abs=0.15)
    constant, slope = fit_scale(facts, errors, smallest=0.0)
    assert slope == 0
    assert constant == pytest.approx(np.log(np.abs(errors).mean()), abs=1e-3)


@pytest.mark.parametrize("number", [1, 10, 39])
def test_with_few_errors_the_interval_is_all_of_them(number):
    assert conformal_interval(np.arange(float(number)), 0.95) == (0.0, number - 1.0)


def test_a_scan_in_which_nobody_is_found_says_nothing():
    found = measure_scan(FindsNobody(), 200_000, "standing", "careful")
    assert not found.frames
    assert not found.true_lengths
    assert found.truth > 0.3


def test_the_command_writes_constants_and_checks_them_with_other_scans(monkeypatch, tmp_path, model):
    seeds = []

    def measure(_, count, first_seed):
        seeds.append(first_seed)
        return scans(count)

    monkeypatch.setattr(measured, "measure", measure)
    monkeypatch.setattr(measured, "load_depth_network", lambda *_: FindsNobody())
    app = measured.typer.Typer()
    app.command()(measured.main)
    out = tmp_path / "constants.json"
    done = CliRunner().invoke(app, ["--scans", "90", "--out", str(out)])
    assert done.exit_code == 0, done.output
    written = json.loads(out.read_text())
    assert written.keys() == json.loads(to_json(model)).keys()
    assert "90 rendered scans" in written["measured"]
    checked = CliRunner().invoke(app, ["--scans", "90", "--check"])
    assert json.loads(checked.stdout)["all"]["scans"] == 90
    assert seeds[0] != seeds[1]
    assert isinstance(model, ErrorModel)
