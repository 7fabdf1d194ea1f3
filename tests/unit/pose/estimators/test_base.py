"""The base class of estimators."""

from __future__ import annotations

import pytest

from pose import Detections, Estimator
from tests.support.rendered import KnowingEstimator, with_face


def test_estimate_returns_the_people_of_detect_without_low_confidence_detections():
    truth = with_face()

    class Unsure(KnowingEstimator):
        def detect(self, frames):
            return [Detections(found.people, found.people) for found in super().detect(frames)]

    frames = [truth.frame, truth.frame]
    assert Unsure({0: truth.people}).estimate(frames) == [truth.people, truth.people]


def test_an_estimator_without_detect_cannot_be_made():
    class Nothing(Estimator):
        name, version = "nothing", "1"

    with pytest.raises(TypeError, match="detect"):
        Nothing()  # type: ignore[abstract]


def test_a_model_without_a_score_limit_of_its_own_has_that_of_the_rgb_models():
    assert KnowingEstimator({}).min_score == 0.83


def test_detections_have_no_low_confidence_ones_unless_they_are_given():
    assert Detections([]).low_confidence == []
