"""Faces that YuNet finds. Its weights are not in the repository: see `tests/support/face_weights.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from pose.errors import FaceDetectorMissing, InvalidWeights
from pose.evaluation.faces_found import face_picture, paste
from pose.privacy.cascades import Cascades
from pose.privacy.face_detector import head_of_face
from pose.privacy.loading import load_face_detector
from pose.privacy.region import region_mask
from pose.privacy.yunet import YuNet
from pose.privacy.yunet_network import WithOpenCV, WithOpenVINO
from pose.weights.checkpoint import Checkpoint
from pose.weights.ingest import onnx_bytes, read_weights_file
from pose.weights.store import WeightsStore
from tests.support.face_weights import store_with_yunet, yunet_file
from tests.support.rendered import with_face

SIZE = (1440, 1080)
MIDDLE = (611.0, 487.0)


@pytest.fixture(scope="module")
def yunet():
    return YuNet(read_weights_file(yunet_file(), "yunet"))


@pytest.fixture(scope="module")
def wall():
    """A picture without a face: noise of several sizes."""
    rng = np.random.default_rng(1)
    layers = [cv2.resize(rng.normal(0, 9, (1080 // k, 1440 // k, 3)), SIZE) for k in (2, 12, 90)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def with_a_face(picture, pixels, degrees, at=MIDDLE):
    return paste(picture, face_picture(), at, pixels, degrees)


def found_at(faces, at, pixels):
    """Whether exactly one face was found, at this place and of this size."""
    assert len(faces) == 1, faces
    (x0, y0, x1, y1) = faces[0]
    assert (x0 + x1) / 2 == pytest.approx(at[0], abs=0.3 * pixels)
    assert (y0 + y1) / 2 == pytest.approx(at[1], abs=0.3 * pixels)
    assert x1 - x0 == pytest.approx(pixels, rel=0.3)


@pytest.mark.parametrize(
    "pixels, degrees", [(28, 0), (28, 25), (28, -25), (40, 45), (40, -45), (80, 90), (80, 150), (300, 200)]
)
def test_a_photographed_face_is_found_in_many_sizes_and_tilts(yunet, wall, pixels, degrees):
    found_at(yunet.find(with_a_face(wall, pixels, degrees), 0), MIDDLE, pixels)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_small_face_is_found_if_the_turn_is_told(yunet, wall, turns):
    upright = with_a_face(wall, 28, 0)
    arrived = np.ascontiguousarray(np.rot90(upright, turns))  # counter-clockwise
    (face,) = yunet.find(arrived, turns)
    mask = np.zeros(arrived.shape[:2], bool)
    mask[round(face[1]) : round(face[3]), round(face[0]) : round(face[2])] = True
    assert np.rot90(mask, -turns)[round(MIDDLE[1]), round(MIDDLE[0])]


def test_all_turns_are_tried_if_the_turn_is_unknown(yunet, wall):
    found_at(yunet.find(with_a_face(wall, 28, 180)), MIDDLE, 28)


def test_a_face_at_the_border_is_found(yunet, wall):
    at = (MIDDLE[0], 25.0)
    (face,) = yunet.find(with_a_face(wall, 90, 0, at), 0)
    assert face[0] < at[0] < face[2] and face[1] < at[1] < face[3]


def test_a_picture_without_a_face_has_none(yunet, wall):
    for picture in (wall, np.zeros((1080, 1440, 3), np.uint8), np.zeros((3, 5, 3), np.uint8)):
        assert yunet.find(picture).shape == (0, 4)


def test_a_covered_face_is_not_returned(yunet, wall):
    picture = with_a_face(wall, 80, 0)
    mask = np.zeros(wall.shape[:2], bool)
    assert len(yunet.find(picture, 0, mask)) == 1
    mask[400:600, 500:700] = True
    assert len(yunet.find(picture, 0, mask)) == 0


def test_the_head_around_a_found_face_holds_the_face(yunet, wall):
    picture = with_a_face(wall, 120, 30)
    mask = region_mask([head_of_face(yunet.find(picture, 0)[0], _view(), yunet.head_radius)], SIZE)
    face = (picture != wall).any(axis=2)
    inner = cv2.erode(face.astype(np.uint8), np.ones((61, 61))) > 0  # without the hair around it
    assert mask[inner].mean() > 0.99


def _view():
    class View:
        picture_size = SIZE

    return View()


def test_threads_do_not_disturb_each_other(yunet, wall):
    pictures = [with_a_face(wall, pixels, 0) for pixels in (40, 60, 90, 130)]
    alone = [yunet.find(each, 0).tolist() for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: yunet.find(each, 0).tolist(), pictures * 2)) == alone * 2


def test_an_analysis_says_which_face_detector_was_used(yunet):
    import pose
    from tests.support.rendered import KnowingEstimator

    truth = with_face()
    scan = pose.Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    estimator = KnowingEstimator({0: truth.people})
    results = [pose.analyse_scan(scan, estimator, face_detector=each).result for each in (yunet, Cascades())]
    said = [result.face_detector for result in results]
    assert [(each.name, each.version) for each in said if each] == [
        ("yunet", "ebafce4e"),
        ("haar", f"opencv-{cv2.__version__}"),
    ]
    assert results[0].fingerprint != results[1].fingerprint


def test_auto_takes_yunet_where_its_weights_are_stored(tmp_path):
    assert load_face_detector("auto", WeightsStore(tmp_path / "empty")).name == "haar"
    store = store_with_yunet(tmp_path)
    assert load_face_detector("auto", store).name == "yunet"
    assert load_face_detector("haar", store).name == "haar"


def test_damaged_weights_are_an_error_for_auto_too(tmp_path):
    store = store_with_yunet(tmp_path)
    data = bytearray(store.path("yunet").read_bytes())
    data[-1] ^= 1
    store.path("yunet").write_bytes(data)
    with pytest.raises(InvalidWeights, match="damaged"):
        load_face_detector("auto", store)


def test_yunet_without_weights_is_an_error_that_says_what_to_run(tmp_path):
    with pytest.raises(InvalidWeights, match="pose weights pull yunet"):
        load_face_detector("yunet", WeightsStore(tmp_path))


def test_an_unknown_face_detector_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'mtcnn', expected one of auto, yunet, haar"):
        load_face_detector("mtcnn", WeightsStore(tmp_path))


def test_other_weights_are_not_given_to_opencv(tmp_path):
    with pytest.raises(InvalidWeights, match="published"):
        YuNet(Checkpoint({}, {"name": "yunet", "version": "1"}))


def test_an_opencv_without_the_network_is_an_error(monkeypatch):
    monkeypatch.delattr(cv2, "FaceDetectorYN")
    with pytest.raises(FaceDetectorMissing, match="FaceDetectorYN"):
        YuNet(read_weights_file(yunet_file(), "yunet"))


@pytest.fixture(scope="module")
def networks():
    if find_spec("openvino") is None:
        pytest.skip("needs the extra cpu")
    model = onnx_bytes(read_weights_file(yunet_file(), "yunet"))
    return WithOpenCV(model), WithOpenVINO(model)


@pytest.mark.parametrize("size", [(640, 480), (301, 227), (96, 96), (33, 65)])
@pytest.mark.parametrize("min_score", [0.02, 0.5])
def test_openvino_gives_the_boxes_and_scores_of_opencv(networks, wall, size, min_score):
    picture = cv2.resize(with_a_face(wall, 200, 10), size, interpolation=cv2.INTER_AREA)
    by_opencv, by_openvino = (each.detect(picture, min_score) for each in networks)
    assert len(by_opencv) > 0 or size < (300, 200)
    np.testing.assert_allclose(by_openvino, by_opencv, atol=0.01)


def test_openvino_finds_the_same_faces_in_several_threads(networks, yunet, wall):
    other = YuNet(read_weights_file(yunet_file(), "yunet"), runtime="openvino")
    assert str(other.runtime).startswith("openvino 20")
    assert yunet.runtime.startswith("opencv 4")
    picture = with_a_face(with_a_face(wall, 40, 45), 80, 150, at=(200.0, 300.0))
    expected = yunet.find_with_scores(picture, 1)
    assert len(expected) == 2
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: other.find_with_scores(picture, 1), range(4)):
            np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_network_that_openvino_cannot_read_is_an_error(networks):
    with pytest.raises(InvalidWeights, match="choose the runtime torch"):
        WithOpenVINO(b"not a network")
