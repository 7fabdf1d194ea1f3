from __future__ import annotations

import json

import numpy as np
import pytest

from pose.analysis.length_error import FEATURES, SAYS_NOTHING, ErrorModel, Evidence, error_model, to_json

GOOD = Evidence(0.8, (0.0,) * len(FEATURES))


def faulty(name: str, amount: float = 1.0, length: float = 0.8) -> Evidence:
    return Evidence(length, tuple(amount if each == name else 0.0 for each in FEATURES))


def test_a_frame_without_faults_has_the_full_weight():
    assert error_model().weight(GOOD) == 1.0


@pytest.mark.parametrize("name", FEATURES)
def test_no_fault_gives_a_frame_more_weight(name):
    assert error_model().weight(faulty(name, 0.1)) <= 1.0


def test_a_frame_says_nothing_if_its_expected_error_is_too_large():
    bad = faulty("far", 1.5)
    assert error_model().expected_error(bad) > SAYS_NOTHING
    assert error_model().weight(bad) == 0.0


def test_a_faulty_frame_moves_the_length_less_than_a_good_one():
    frames = [GOOD, GOOD, faulty("far", 0.5, length=1.2)]
    assert error_model().estimate(frames).value == pytest.approx(0.8)


def test_the_interval_holds_the_value_and_widens_with_faults():
    narrow, wide = (error_model().estimate([each]) for each in (GOOD, faulty("pitch", 3.0)))
    for each in (narrow, wide):
        assert each.low <= each.value <= each.high
    assert wide.half_width > narrow.half_width


def test_a_given_value_replaces_the_median():
    assert error_model().estimate([GOOD], 0.7).value == 0.7


def test_the_file_has_all_constants():
    model = error_model()
    facts = json.loads(to_json(model))
    read = ErrorModel(
        facts["constant"],
        tuple(facts["coefficients"][name] for name in FEATURES),
        tuple(facts["scan"]),
        tuple(facts["interval"]),
        facts["measured"],
    )
    assert read == model
    assert np.min(model.coefficients) >= 0
