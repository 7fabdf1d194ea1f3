"""The models of result.json and their schema."""

import json

import jsonschema
import pytest
from pydantic import ValidationError

import pose
from pose import keypoints as kp
from pose.results import (
    DriftResult,
    Estimate,
    FrameResult,
    JointResult,
    KeypointResult,
    ModelInfo,
    PersonResult,
    Reason,
    ScanResult,
)


@pytest.fixture
def result():
    points = tuple(KeypointResult(name=name, u=1.0, v=2.0, score=0.9) for name in kp.NAMES)
    joints = tuple(
        JointResult(name=name, x=0.1, y=0.2, z=-0.3, score=0.9, distance_px=0.5, observed=True)
        for name in kp.NAMES
    )
    someone = PersonResult(
        box=(0.0, 1.0, 2.0, 3.0), box_score=0.9, score=0.9, keypoints=points, skeleton=joints,
        body_length_m=0.8, posture=pose.Posture.STANDING,
    )  # fmt: skip
    frame = FrameResult(
        order=0, status=pose.FrameStatus.OK, reason=None, people=(someone,), floor_height_m=-1.0,
        camera_angle_deg=-5.0, missing_depth=0.1, child_distance_m=1.0, quality=(),
        picture="s/frames/0/blurred.jpg", timings_ms={"total": 3.0},
    )  # fmt: skip
    reason = Reason(code="camera_angle", text="hold the phone more level", frames=(0,))
    return ScanResult(
        scan_id="s-1_A", fingerprint="f", model=ModelInfo(name="m", version="1"),
        posture=pose.Posture.STANDING, posture_confidence=0.9,
        body_length_m=0.8, body_length_estimate_m=Estimate(value=0.8, low=0.77, high=0.83), frames_used=1,
        verdict=pose.Verdict.GOOD, verdict_reasons=(reason,), frames=(frame,), timings_ms={"total": 3.0},
    )  # fmt: skip


def test_a_result_is_written_and_read_again(result):
    assert ScanResult.model_validate_json(result.model_dump_json()) == result


def test_fields_have_the_names_and_order_of_the_format(result):
    written = json.loads(result.model_dump_json())
    assert list(written) == [
        "schema", "scan_id", "fingerprint", "model", "face_detector", "posture",
        "posture_confidence", "body_length_m", "body_length_estimate_m", "stature_m",
        "stature_estimate_m", "frames_used", "verdict", "verdict_reasons", "frames", "artefacts", "drift",
        "timings_ms",
    ]  # fmt: skip
    assert written["schema"] == "scan-result/2"
    frame = written["frames"][0]
    assert list(frame) == [
        "order", "status", "reason", "people", "floor_height_m", "camera_angle_deg", "missing_depth",
        "child_distance_m", "head_height_m", "exif_orientation", "alignment", "quality", "weight", "picture",
        "depth_picture", "covering", "timings_ms",
    ]  # fmt: skip
    someone = frame["people"][0]
    assert list(someone) == [
        "box", "box_score", "score", "keypoints", "skeleton", "body_length_m", "body_length_estimate_m",
        "stature_m", "stature_estimate_m", "posture",
    ]  # fmt: skip
    assert list(someone["keypoints"][0]) == ["name", "u", "v", "score"]
    assert list(someone["skeleton"][0]) == ["name", "x", "y", "z", "score", "distance_px", "observed"]


@pytest.fixture
def compared(result):
    drift = DriftResult(
        model=ModelInfo(name="o", version="2"), frames=1, keypoints=17, distance=0.05, offset_px=(1.5, -2.0),
        worst_joint="left_wrist", worst_distance=0.2, limit=0.2, alarm=False,
    )  # fmt: skip
    return result.model_copy(update={"drift": drift})


def test_a_result_with_drift_fits_the_schema_and_is_read_again(compared):
    written = json.loads(compared.model_dump_json())
    jsonschema.validate(written, pose.result_schema())
    assert ScanResult.model_validate(written) == compared
    assert list(written["drift"]) == [
        "model", "frames", "keypoints", "distance", "offset_px", "worst_joint", "worst_distance", "limit",
        "alarm",
    ]  # fmt: skip


def test_an_old_result_without_drift_can_be_read(result):
    written = json.loads(result.model_dump_json())
    del written["drift"]
    assert ScanResult.model_validate(written) == result


def test_a_result_of_the_first_version_can_be_read(result):
    written = json.loads(result.model_dump_json())
    for name in ("body_length_estimate_m", "verdict", "verdict_reasons"):
        del written[name]
    del written["frames"][0]["weight"]
    read = ScanResult.model_validate({**written, "schema": "scan-result/1"})
    assert (read.verdict, read.body_length_estimate_m, read.verdict_reasons) == (None, None, ())


def test_what_was_not_used_stands_in_a_result_only_if_there_is_something(result):
    assert "ignored" not in json.loads(result.model_dump_json())
    told = result.model_copy(update={"ignored": ("scan: files: 1 file not recognised",)})
    written = json.loads(told.model_dump_json())
    assert written["ignored"] == ["scan: files: 1 file not recognised"]
    jsonschema.validate(written, pose.result_schema())
    assert ScanResult.model_validate(written) == told


def test_a_result_fits_its_schema(result):
    schema = pose.result_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads(result.model_dump_json())
    jsonschema.validate(written, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "more": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "posture": "sitting"}, schema)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_infinite_numbers_and_nan_raise_an_error(result, value):
    with pytest.raises(ValidationError):
        ScanResult.model_validate({**result.model_dump(), "body_length_m": value})


def test_unknown_fields_raise_an_error(result):
    with pytest.raises(ValidationError):
        ScanResult.model_validate({**result.model_dump(), "person": "p1"})


@pytest.mark.parametrize("scan_id", ["", "a/b", "..", "a b", "é", "x" * 129, "a\n"])
def test_a_scan_id_that_is_a_path_or_too_long_raises_an_error(result, scan_id):
    with pytest.raises(ValidationError):
        ScanResult.model_validate({**result.model_dump(), "scan_id": scan_id})


def test_a_result_cannot_be_changed(result):
    with pytest.raises(ValidationError):
        result.frames_used = 2


@pytest.mark.parametrize(("low", "high"), [(0.81, 0.9), (0.7, 0.79), (float("nan"), 0.9)])
def test_an_interval_that_does_not_hold_its_value_raises_an_error(low, high):
    with pytest.raises(ValidationError):
        Estimate(value=0.8, low=low, high=high)


def test_an_estimate_is_written_as_value_low_and_high():
    written = Estimate(value=0.8, low=0.77, high=0.83).model_dump_json()
    assert json.loads(written) == {"value": 0.8, "low": 0.77, "high": 0.83}
