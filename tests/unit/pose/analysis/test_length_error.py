"""How far off a body length may be."""

import json
from dataclasses import replace

import numpy as np
import pytest

import pose
from pose import QualityLimits
from pose.analysis.body import measure_body
from pose.analysis.length_error import (
    FEATURES,
    SAYS_NOTHING,
    ErrorModel,
    Evidence,
    error_model,
    evidence_of,
    to_json,
    usual_length,
)
from tests.support.rendered import with_face

LIMITS = QualityLimits(min_score=0.35)
MODEL = error_model()


def evidence(length=0.8, **features):
    return Evidence(length, tuple(features.get(name, 0.0) for name in FEATURES))


@pytest.fixture(scope="module")
def body():
    return body_of(with_face())


def body_of(truth, frame=None, limits=LIMITS, **changes):
    frame, someone = frame or truth.frame, truth.people[0]
    skeleton = pose.lift(frame.depthmap, someone.keypoints, someone.scores, frame.picture_size)
    return measure_body(frame, someone, replace(skeleton, **changes), limits)


def named(body):
    return dict(zip(FEATURES, body.evidence.features, strict=True))


def test_a_frame_that_keeps_all_limits_has_no_feature_of_a_limit(body):
    assert body is not None
    features = named(body)
    assert [features[name] for name in ("pitch", "far", "near", "missing_depth", "low_score")] == [0.0] * 5
    assert features["lying"] == 0


def checked(body, stature, limits=LIMITS, **changes):
    """What a frame says whose stature is given."""
    return evidence_of(
        replace(body.skeleton, **changes), body.posture, stature=stature, score=0.8, angle=0.0, missing=0.0,
        distance=1.0, limits=limits,
    )  # fmt: skip


def stature_of(length):
    """The stature at which a body length is usual."""
    return min(np.linspace(0.3, 1.9, 1601), key=lambda stature: abs(usual_length(stature) - length))


def test_without_a_stature_the_length_is_that_of_the_chain(body):
    found = checked(body, None)
    assert found.length == body.skeleton.reliable_length
    assert dict(zip(FEATURES, found.features, strict=True))["unchecked"] == 1
    assert not found.contradicted


def test_a_chain_that_fits_the_stature_counts_half(body):
    chain = body.skeleton.reliable_length
    found = checked(body, stature_of(chain * 0.98))
    assert found.length == pytest.approx(chain * 0.99, rel=2e-3)
    assert not found.contradicted


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_chain_that_contradicts_the_stature_moves_the_length_by_two_percent_only(body, factor):
    usual = body.skeleton.reliable_length
    found = checked(body, stature_of(usual), joints=body.skeleton.joints * factor)
    assert found.length == pytest.approx(usual * (1.02 if factor > 1 else 1 / 1.02), rel=2e-3)
    assert found.contradicted
    assert MODEL.expected_error(found) > MODEL.expected_error(checked(body, stature_of(usual)))


def test_with_strict_limits_the_length_is_that_of_the_chain_and_the_stature_only_widens_its_interval(body):
    chain, strict = body.skeleton.reliable_length, replace(LIMITS, strict=True)
    found = checked(body, stature_of(0.8 * chain), strict)
    assert found.length == chain
    assert found.contradicted
    assert MODEL.expected_error(found) > MODEL.expected_error(checked(body, stature_of(chain), strict))


def test_each_posture_has_its_interval():
    model = replace(MODEL, intervals=((-1.0, 1.0), (-3.0, 3.0)), coefficients=(0.0,) * len(FEATURES))
    standing, lying = (model.estimate([evidence(lying=each)]).half_width for each in (0.0, 1.0))
    assert lying > 2.5 * standing


def test_what_is_beyond_a_limit_counts_by_how_far_it_is():
    truth = with_face()
    angle = truth.frame.depthmap.camera_angle_deg or 0.0
    far = body_of(truth, limits=replace(LIMITS, distance=(0.1, 0.6)))
    assert named(far)["far"] == pytest.approx(far.distance - 0.6)
    near = body_of(truth, limits=replace(LIMITS, distance=(far.distance + 0.1, 4.0)))
    assert named(near)["near"] == pytest.approx(1.0)
    level = body_of(truth, limits=replace(LIMITS, camera_angle=(angle + 5, angle + 6)))
    assert named(level)["pitch"] == pytest.approx(0.5)


def test_hidden_joints_of_the_better_chain_and_a_skeleton_that_contradicts_itself_count():
    truth = with_face()
    joints = body_of(truth).skeleton.joints.copy()
    observed = np.ones(17, bool)
    observed[[11, 13, 14]] = False  # both knees, and the left hip
    assert named(body_of(truth, observed=observed))["hidden"] == 1
    joints[15] += (0, -0.2, 0)
    crooked = named(body_of(truth, joints=joints))
    assert crooked["sides"] > 0.1
    joints[11:13] += (0.25, 0, 0)
    assert named(body_of(truth, joints=joints))["bent"] > crooked["bent"] + 0.05


def test_a_body_of_coinciding_joints_has_finite_features():
    joints = np.zeros((17, 3))
    assert np.isfinite(body_of(with_face(), joints=joints).evidence.features).all()
    assert np.isfinite(MODEL.estimate([evidence(0.01)]).half_width)


@pytest.mark.parametrize("name", FEATURES)
def test_no_feature_makes_a_frame_better(name):
    worse = evidence(**{name: 1.0 if name in ("lying", "unchecked") else 0.1})
    assert MODEL.expected_error(worse) >= MODEL.expected_error(evidence())
    assert MODEL.weight(worse) <= MODEL.weight(evidence()) == 1
    assert MODEL.estimate([worse]).half_width >= MODEL.estimate([evidence()]).half_width


def test_a_frame_that_says_nothing_has_no_weight():
    poor = evidence(hidden=4, low_score=1.0, sides=0.4, proportions=0.4, unchecked=1.0)
    assert MODEL.expected_error(poor) > SAYS_NOTHING
    assert MODEL.weight(poor) == 0


def test_the_interval_widens_with_the_spread_of_the_frames():
    alike = MODEL.estimate([evidence(0.8), evidence(0.8), evidence(0.8)])
    apart = MODEL.estimate([evidence(0.7), evidence(0.8), evidence(0.9)])
    assert alike.value == apart.value == pytest.approx(0.8)
    assert apart.half_width > alike.half_width


def test_the_interval_holds_a_value_that_is_not_the_weighted_median():
    estimate = MODEL.estimate([evidence(0.8), evidence(1.0)], 0.9)
    assert estimate.value == 0.9


def test_the_file_of_constants_is_that_of_the_model():
    assert error_model() == MODEL
    facts = json.loads(to_json(MODEL))
    assert list(facts["coefficients"]) == list(FEATURES)
    assert all(value >= 0 for value in facts["coefficients"].values())
    assert isinstance(MODEL, ErrorModel)
    for low, high in MODEL.intervals:
        assert low < 0 < high
