"""What a caller gives is checked where it enters, and the error says what came and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pose
from pose.analysis.frame import Options
from pose.estimators.detector import Detector
from pose.estimators.rgb_hrnet import RGBHRNet
from pose.estimators.topdown import TopDown
from tests.support.rendered import Rendered, with_face

# Without types: what is given here is wrong on purpose.
lib: Any = pose

# The checks come before anything of the object is used, so it need not be there.
detect_boxes: Any = Detector.detect
predict: Any = TopDown.predict
detect: Any = RGBHRNet.detect

DEPTH = np.full((18, 24), 1.2, np.float32)
CAMERA = pose.Intrinsics(20.0, 20.0, 12.0, 9.0, 24, 18)
PHONE = (0.7, 0.9, 0.5, 0.5)
CALIBRATION = pose.Calibration(PHONE, PHONE)
PICTURE = np.zeros((48, 64, 3), np.uint8)
MAP = pose.DepthMap(DEPTH, None, CAMERA)
UV = np.full((17, 2), 20.0)
SCORES = np.full(17, 0.9)


def changed(row: int, column: int, value: float) -> np.ndarray:
    depth = DEPTH.copy()
    depth[row, column] = value
    return depth


def refused(call: Callable[[], object], *told: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    for text in told:
        assert text in str(caught.value)
    assert not isinstance(caught.value, pose.PoseError)


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        (DEPTH.T, ("depth has the shape (24, 18)", "24 x 18 pixels", "expected (H, W) = (18, 24)")),
        (DEPTH[:9], ("depth has the shape (9, 24)",)),
        (DEPTH[..., None], ("depth has the shape (18, 24, 1)",)),
        (changed(3, 4, np.nan), ("at 1 of 432 pixels", "expected 0 where there is no measurement")),
        (changed(3, 4, np.inf), ("at 1 of 432 pixels", "expected 0 where there is no measurement")),
        (changed(3, 4, -1), ("at 1 of 432 pixels", "expected 0 where there is no measurement")),
        (DEPTH * 1000, ("depth reaches 1200, expected metres", "multiply millimetres by 0.001")),
        (
            (DEPTH * 1000).astype(np.uint16),
            ("uint16 (18, 24)", "expected float32", "multiply"),
        ),
        (DEPTH.tolist(), ("depth is list, expected float32 (H, W)",)),
        (b"depth", ("depth is bytes, expected float32 (H, W)",)),
        (None, ("depth is None, expected float32 (H, W)",)),
        (np.ma.masked_less(DEPTH, 2), ("depth is masked float32 (18, 24), expected float32 (H, W)",)),
    ],
)
def test_a_depth_map_is_metres_row_by_row_and_0_without_a_measurement(depth: Any, told: tuple[str, ...]):
    refused(lambda: lib.DepthMap(depth, None, CAMERA), *told)


def test_depth_of_another_precision_becomes_float32():
    depthmap = pose.DepthMap(DEPTH.astype(np.float64), None, CAMERA)
    assert depthmap.depth.dtype == np.float32
    assert (depthmap.depth == DEPTH).all()
    assert pose.DepthMap(DEPTH, None, CAMERA).depth is DEPTH


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"confidence": np.full((18, 24), 7, np.uint8)}, "confidence is uint8 (18, 24), expected float32"),
        ({"confidence": DEPTH * 7}, "expected float32 (18, 24), values 0 to 1"),
        ({"confidence": DEPTH.T}, "confidence is float32 (24, 18), expected float32 (18, 24)"),
        ({"intrinsics": (20, 20, 12, 9)}, "intrinsics is tuple, expected Intrinsics"),
        ({"intrinsics": CALIBRATION}, "intrinsics is Calibration, expected Intrinsics"),
        ({"rotation": [0, 0, 0, 1]}, "rotation is of shape (4,), expected numbers of shape (3, 3)"),
        ({"rotation": np.ones((3, 3))}, "rotation is no rotation"),
        ({"rotation": np.diag([1.0, 1.0, -1.0])}, "rotation is no rotation"),
        ({"rotation": np.full((3, 3), np.nan)}, "expected finite numbers"),
        ({"translation": [0, 0]}, "translation is of shape (2,), expected numbers of shape (3,)"),
        ({"translation": [0, np.inf, 0]}, "expected finite numbers"),
        ({"translation": "here"}, "translation is str, expected numbers of shape (3,)"),
    ],
)
def test_the_other_parts_of_a_depth_map(change: dict[str, Any], told: str):
    refused(lambda: replace(MAP, **change), told)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0, 20, 12, 9, 24, 18), "expected finite numbers of pixels, fx and fy above 0"),
        ((20, np.nan, 12, 9, 24, 18), "expected finite numbers of pixels, fx and fy above 0"),
        ((20, 20, np.inf, 9, 24, 18), "expected finite numbers of pixels, fx and fy above 0"),
        (("20", 20, 12, 9, 24, 18), "expected finite numbers of pixels, fx and fy above 0"),
        (
            (0.7, 0.9, 0.5, 0.5, 24, 18),
            "expected pixels; multiply the numbers of a calibration file",
        ),
        ((20, 20, 12, 9, 0, 18), "expected width and height in pixels, at least 1"),
        ((20, 20, 12, 9, 24.5, 18), "expected width and height in pixels, at least 1"),
    ],
)
def test_a_camera(values: Any, told: str):
    refused(lambda: lib.Intrinsics(*values), told)


def test_a_calibration_is_normalised():
    refused(lambda: lib.Calibration((434.0, 434.0, 317.0, 241.0), PHONE), "fx / width", "from 0.1 to 10")
    refused(lambda: lib.Calibration(PHONE, (0.7, 0.9, 317.0, 241.0)), "cx / width", "from 0 to 1")
    refused(lambda: lib.Calibration(PHONE, (0.7, 0.9)), "expected numbers of shape (4,)")


PICTURES: list[tuple[Any, str]] = [
    (PICTURE[..., 0], "is uint8 (48, 64), expected uint8 (H, W, 3): RGB from 0 to 255"),
    (np.zeros((48, 64, 4), np.uint8), "is uint8 (48, 64, 4), expected"),
    (PICTURE.astype(np.float32), "is float32 (48, 64, 3), expected"),
    (PICTURE.transpose(2, 0, 1), "is uint8 (3, 48, 64), expected"),
    (PICTURE[:0], "is uint8 (0, 64, 3), expected"),
    (PICTURE.tolist(), "is list, expected"),
    (b"jpeg", "is bytes, expected"),
    (None, "is None, expected"),
]


@pytest.mark.parametrize(("picture", "told"), PICTURES)
def test_a_picture(picture: Any, told: str):
    refused(lambda: lib.Frame(0, 100, picture, MAP), f"rgb {told}")
    refused(lambda: lib.anonymise(picture, [], MAP), f"rgb {told}")


@pytest.fixture(scope="module")
def truth() -> Rendered:
    return with_face()


def lift(truth: Rendered, **change: Any) -> pose.Skeleton:
    frame, (child, *_) = truth.frame, truth.people
    arguments = {
        "depthmap": frame.depthmap, "keypoints": child.keypoints, "scores": child.scores,
        "picture_size": frame.picture_size,
    }  # fmt: skip
    return pose.lift(**{**arguments, **change})


def test_width_and_height_of_the_picture_are_not_exchanged_in_silence(truth: Rendered):
    width, height = truth.frame.picture_size
    told = (f"picture_size is ({height}, {width}), expected (width, height)", "240 x 180 pixels")
    refused(lambda: lift(truth, picture_size=(height, width)), *told)
    assert lift(truth, picture_size=(width * 2, height * 2)).measured


def test_a_camera_of_another_picture_is_refused(truth: Rendered):
    color = truth.frame.depthmap.intrinsics
    told = "color is the camera of 240 x 180 pixels, expected that of a picture of "
    refused(lambda: lift(truth, color=color), told)
    refused(lambda: lib.anonymise(truth.frame.rgb, [], truth.frame.depthmap, color=color), told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"depthmap": DEPTH}, "depthmap is float32 (18, 24), expected DepthMap"),
        ({"keypoints": UV.T}, "keypoints is of shape (2, 17), expected numbers of shape (17, 2)"),
        ({"keypoints": np.ones((17, 3))}, "keypoints is of shape (17, 3), expected numbers of shape (17, 2)"),
        ({"keypoints": UV / 40}, "keypoints are from 0 to 1, expected u and v in pixels"),
        ({"keypoints": UV * np.nan}, "keypoints has numbers from nan to nan, expected finite numbers"),
        ({"keypoints": "here"}, "keypoints is str, expected numbers of shape (17, 2)"),
        ({"scores": SCORES * 100}, "scores are from 90 to 90, expected 0 to 1"),
        ({"scores": 0.9}, "scores is of shape (), expected numbers of shape (17,)"),
        ({"picture_size": (64, 48, 3)}, "picture_size is (64, 48, 3), expected width and height in pixels"),
        ({"picture_size": (0, 48)}, "picture_size is (0, 48), expected width and height in pixels"),
        ({"picture_size": 640}, "picture_size is 640, expected width and height in pixels"),
        ({"picture_size": "64x48"}, "picture_size is '64x48', expected width and height in pixels"),
        ({"floor": np.nan}, "floor, metres above the world's zero, has numbers from nan"),
        ({"floor": "0"}, "floor, metres above the world's zero, is str"),
        ({"method": "best"}, "method is 'best', expected one of inside, surface, nearest"),
    ],
)
def test_what_lift_takes(truth: Rendered, change: dict[str, Any], told: str):
    refused(lambda: lift(truth, **change), told)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: lib.Person(UV.tolist(), SCORES, (0, 0, 1, 1), 1.0), "keypoints is list, expected an array"),
        (lambda: lib.Person(UV.T, SCORES, (0, 0, 1, 1), 1.0), "float64 (2, 17), expected an array of shape"),
        (lambda: lib.Person(UV, SCORES[:5], (0, 0, 1, 1), 1.0), "scores is float64 (5,), expected an array"),
        (
            lambda: lib.Person(UV, SCORES, (0, 0), 1.0),
            "box is of shape (2,), expected numbers of shape (4,)",
        ),
        (
            lambda: lib.Skeleton(UV, SCORES, SCORES, SCORES > 0),
            "joints is float64 (17, 2), expected an array",
        ),
        (
            lambda: lib.Person(UV * np.nan, SCORES, (0, 0, 1, 1), 1.0),
            "keypoints has numbers from nan to nan, expected finite numbers",
        ),
        (lambda: lib.Person(UV, SCORES * np.nan, (0, 0, 1, 1), 1.0), "scores has numbers from nan to nan"),
        (lambda: lib.Frame("0", 100, PICTURE, MAP), "order is '0', expected a whole number"),
        (lambda: lib.Frame(-1, 100, PICTURE, MAP), "order is -1, expected a whole number from 0"),
        (lambda: lib.Frame(0, "104", PICTURE, MAP), "step is '104', expected a whole number"),
        (lambda: lib.Frame(0, 104.5, PICTURE, MAP), "step is 104.5, expected a whole number"),
        (lambda: lib.Detections([UV]), "people[0] is float64 (17, 2), expected Person"),
        (lambda: lib.Detections(UV), "people is float64 (17, 2), expected a list of Person"),
        (lambda: lib.Scan(100, [MAP], (), ""), "frames[0] is DepthMap, expected Frame"),
        (lambda: lib.Scan(100, [], ("no",), ""), "broken[0] is str, expected BrokenFrame"),
        (lambda: lib.Frame(0, 100, PICTURE, DEPTH), "depthmap is float32 (18, 24), expected DepthMap"),
        (lambda: lib.Frame(0, 100, PICTURE, MAP, CAMERA), "calibration is Intrinsics, expected Calibration"),
        (lambda: lib.anonymise(PICTURE, [UV], MAP), "people[0] is float64 (17, 2), expected Person"),
        (lambda: lib.anonymise(PICTURE, [], DEPTH), "depthmap is float32 (18, 24), expected DepthMap"),
        (
            lambda: lib.anonymise(PICTURE, [], MAP, "black"),
            "method is 'black', expected one of blur, mosaic",
        ),
        (lambda: lib.analyse_frame(PICTURE, []), "frame is uint8 (48, 64, 3), expected Frame"),
        (
            lambda: lib.analyse_frame(pose.Frame(0, 100, PICTURE, MAP), pose.Detections([])),
            "a list of Person",
        ),
        (lambda: lib.analyse_scan("scan", None), "scan is str, expected Scan; read_scan returns one"),
        (
            lambda: lib.classify_posture(UV),
            "skeleton is float64 (17, 2), expected Skeleton; lift returns one",
        ),
        (lambda: lib.floor_height(DEPTH), "depthmap is float32 (18, 24), expected DepthMap"),
        (lambda: lib.floor_height(MAP, "mean"), "method is 'mean', expected one of lowest, median"),
        (lambda: lib.parse_calibration("text"), "data is str, expected bytes"),
        (
            lambda: lib.parse_depth([1, 2], CALIBRATION),
            "data is list, expected bytes",
        ),
        (lambda: lib.parse_depth(Path("a"), CALIBRATION), "expected bytes"),
        (lambda: lib.parse_depth(b"", b""), "calibration is bytes, expected Calibration; parse_calibration"),
        (
            lambda: lib.parse_depth(b"", CALIBRATION, encoding="raw"),
            "encoding is 'raw', expected one of zip",
        ),
        (lambda: lib.parse_depth(b"", CALIBRATION, size=240), "size is 240, expected width and height"),
        (lambda: lib.write_depth(DEPTH), "depthmap is float32 (18, 24), expected DepthMap"),
        (
            lambda: lib.write_depth(MAP, scale=0),
            "scale, metres a unit, has numbers from 0 to 0, expected numbers from 1e-05 to 0.01",
        ),
        (lambda: lib.write_depth(MAP, scale="0.001"), "scale, metres a unit, is str, expected numbers"),
        (lambda: lib.write_depth(MAP, levels=7.5), "levels is 7.5, expected a whole number from 1 to 255"),
        (lambda: lib.write_depth(MAP, levels=None), "levels is None, expected a whole number from 1 to 255"),
        (lambda: lib.Calibration(None, None), "color is None, expected numbers of shape (4,)"),
        (lambda: lib.read_scan({}), "folder is dict, expected str or PathLike; read_scan_files"),
        (lambda: lib.read_scan_files("folder"), "files is str, expected Mapping; read_scan reads a folder"),
        (
            lambda: lib.read_scan_files({"rgb/rgb_zoe_1_100_1.jpg": "x"}),
            "the content of a file is str, expected",
        ),
    ],
)
def test_other_functions_and_classes(call: Callable[[], object], told: str):
    refused(call, told)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Options(lifting="best"), "lifting is 'best', expected one of inside, surface, nearest"),  # type: ignore[arg-type]
        (lambda: Options(cover="black"), "cover is 'black', expected one of blur, mosaic, solid"),  # type: ignore[arg-type]
        (lambda: pose.QualityLimits(max_missing=15), "max_missing has numbers from 15 to 15, expected"),
        (lambda: pose.QualityLimits(min_score=83), "min_score has numbers from 83 to 83, expected"),
        (lambda: pose.QualityLimits(distance=(500, 1500)), "distance has numbers from 500 to 1500, expected"),
        (lambda: lib.QualityLimits(camera_angle=10), "camera_angle is of shape (), expected numbers of"),
        (lambda: lib.load_estimator(device=7), "device is int, expected str"),
        (lambda: lib.load_estimator(weights=b"x"), "weights is bytes, expected str or PathLike"),
        (lambda: lib.analyse_frame(pose.Frame(0, 100, PICTURE, MAP), [], options={1: 2}), "options is dict"),
        (lambda: MAP.resized(0, 5), "size is (0, 5), expected width and height in pixels, at least 1"),
        (lambda: MAP.project([[1, 2]]), "points are of shape (1, 2), expected (..., 3)"),
        (lambda: CAMERA.project([[1, 2]]), "points are of shape (1, 2), expected (..., 3)"),
        (lambda: CAMERA.reproject([1, 2, 3], CAMERA), "points are of shape (3,), expected (..., 2)"),
        (lambda: lib.read_scan_files({3: b""}), "the name of a file is int, expected str"),
    ],
)
def test_options(call: Callable[[], object], told: str):
    refused(call, told)


def test_no_name_of_a_file_is_in_the_error():
    with pytest.raises(ValueError, match="expected bytes") as caught:
        lib.read_scan_files({"rgb/rgb_zoe_1_100_1.jpg": "x"})
    assert "zoe" not in str(caught.value)


def test_other_buffers_are_bytes_too(calibration_file: bytes, make_depth: Callable[..., bytes]):
    expected = pose.parse_calibration(calibration_file)
    for kind in (bytearray, memoryview):
        assert lib.parse_calibration(kind(calibration_file)) == expected
        assert lib.parse_depth(kind(make_depth()), expected).width == 24


@pytest.mark.parametrize(("picture", "told"), PICTURES)
def test_pictures_of_the_networks(picture: Any, told: str):
    for look in (lambda: detect_boxes(None, [picture]), lambda: predict(None, [picture], [[]])):
        if isinstance(picture, np.ndarray):
            refused(look, f"pictures[0] {told}")
        else:
            refused(look, "pictures[0] is", "expected ndarray")


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 2, 64, 64), (3, 64, 64)])
def test_the_input_of_a_network(shape: tuple[int, ...]):
    network = pose.hrnet.build_hrnet("w16-small")
    refused(
        lambda: network(torch.zeros(shape)), f"input is {shape}, expected (N, 3, H, W), H and W multiples"
    )
    refused(lambda: network(np.zeros((1, 3, 64, 64))), "input is float64 (1, 3, 64, 64), expected")


def test_frames_and_boxes_of_the_networks():
    refused(lambda: detect(None, [PICTURE]), "frames[0] is uint8 (48, 64, 3), expected Frame")
    refused(lambda: detect(None, PICTURE), "frames is uint8 (48, 64, 3), expected a list of Frame")
    told = re.escape("boxes of a picture have the shape (4, 5), expected (n, 4): x0, y0, x1, y1")
    with pytest.raises(ValueError, match=told):
        predict(None, [PICTURE], [np.ones((4, 5))])
