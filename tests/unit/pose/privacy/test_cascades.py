"""OpenCV's cascades."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

import pose
from pose.errors import FaceDetectorMissing
from pose.geometry.orientation import turns_for_step
from pose.privacy import cascades
from pose.privacy.cascades import Cascades, load_cascades
from pose.privacy.face_detector import head_of_face, unredacted
from pose.privacy.loading import load_face_detector
from pose.privacy.region import region_mask
from tests.support.rendered import first, person

HAAR = Cascades()
NO_MASK = np.zeros((240, 320), bool)


def turns_of(truth):
    return turns_for_step(truth.frame.step)


def on_the_face(truth, faces):
    """Those boxes that a true face fills to a third or more."""
    parts = [truth.face[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] for x0, y0, x1, y1 in faces]
    return faces[[part.size > 0 and part.mean() > 0.35 for part in parts]]


def with_a_face_to_find(posture="standing"):
    """A frame in which the face detector finds the face."""
    return first(lambda truth: len(on_the_face(truth, HAAR.find(truth.frame.rgb, turns_of(truth)))), posture)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_a_face_is_found_in_the_picture_as_it_arrives(posture):
    truth = with_a_face_to_find(posture)
    (face, *_) = on_the_face(truth, HAAR.find(truth.frame.rgb, turns_of(truth)))
    rows, columns = np.nonzero(truth.face)
    assert face[0] - 5 < columns.mean() < face[2] + 5
    assert face[1] - 5 < rows.mean() < face[3] + 5


def test_the_head_around_a_found_face_holds_the_face():
    truth = with_a_face_to_find()
    size = truth.frame.picture_size
    faces = on_the_face(truth, HAAR.find(truth.frame.rgb, turns_of(truth)))
    mask = region_mask([head_of_face(face, truth.frame.view, HAAR.head_radius) for face in faces], size)
    assert truth.face[mask].sum() > 0.95 * truth.face.sum()
    assert not len(unredacted(faces, mask))


def test_all_four_turns_are_tried_if_the_turn_is_unknown():
    truth = with_a_face_to_find()
    known = on_the_face(truth, HAAR.find(truth.frame.rgb, turns_of(truth)))
    assert len(on_the_face(truth, HAAR.find(truth.frame.rgb, (turns_of(truth) + 2) % 4))) == 0
    unknown = HAAR.find(truth.frame.rgb)
    assert all((np.abs(unknown - face).max(axis=1) < 0.01).any() for face in known)


def test_faces_in_a_large_picture_are_in_its_own_pixels():
    truth = with_a_face_to_find()
    rgb = truth.frame.rgb
    copy = cv2.resize(rgb, (640, 480), interpolation=cv2.INTER_LINEAR)
    large = cv2.resize(copy, (1920, 1440), interpolation=cv2.INTER_NEAREST)
    assert HAAR.find(large, turns_of(truth)) / 3 == pytest.approx(HAAR.find(copy, turns_of(truth)), abs=1)


def test_an_empty_wall_has_no_face():
    wall = np.full((240, 320, 3), 180, np.uint8)
    faces = HAAR.find(wall)
    assert faces.shape == (0, 4)
    assert unredacted(faces, NO_MASK).shape == (0, 4)


def test_a_face_of_no_detected_person_is_redacted_and_counted():
    truth = with_a_face_to_find()
    elsewhere = truth.people[0].keypoints.copy()
    elsewhere += np.array([0, 110]) if elsewhere[:5, 1].mean() < 120 else np.array([0, -110])
    covered = pose.anonymise(
        truth.frame.rgb,
        [person(elsewhere)],
        truth.frame.depthmap,
        turns=turns_of(truth),
        face_detector=HAAR,
    )
    assert covered.mask is not None
    assert covered.second_look >= 1
    assert [region.placed_by for region in covered.regions][-1] == "face detector"
    assert truth.face[covered.mask].sum() > 0.95 * truth.face.sum()


def test_a_face_in_the_head_of_a_person_is_not_counted():
    truth = with_a_face_to_find()
    covered = pose.anonymise(
        truth.frame.rgb, truth.people, truth.frame.depthmap, turns=turns_of(truth), face_detector=HAAR
    )
    found = on_the_face(truth, HAAR.find(truth.frame.rgb, turns_of(truth)))
    assert covered.mask is not None
    assert len(found) and not len(unredacted(found, covered.mask))
    assert len(covered.regions) == len(truth.people) + covered.second_look


def test_an_opencv_without_cascades_raises_an_error(monkeypatch):
    monkeypatch.setattr(cascades, "_thread", type("Fresh", (), {})())
    monkeypatch.setattr(cascades, "_PROFILE", "none.xml")
    with pytest.raises(FaceDetectorMissing, match=r"no none\.xml.*opencv-python-headless 4"):
        Cascades()


def test_opencv_5_raises_an_error(monkeypatch):
    monkeypatch.setattr(cascades, "_thread", type("Fresh", (), {})())
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(FaceDetectorMissing, match="haarcascade_frontalface_alt2"):
        load_cascades()


def test_threads_do_not_disturb_each_other():
    truth = with_a_face_to_find()
    turned = [
        (np.ascontiguousarray(np.rot90(truth.frame.rgb, -k)), (turns_of(truth) - k) % 4) for k in range(4)
    ]
    alone = [HAAR.find(*each).tolist() for each in turned]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: HAAR.find(*each).tolist(), turned * 3)) == alone * 3


def test_an_analysis_without_cascades_fails_before_it_detects_people(monkeypatch):
    class Never(pose.Estimator):
        name, version = "never", "1"

        def detect(self, frames):
            raise AssertionError("the estimator was called")

    truth = with_a_face_to_find()
    scan = pose.Scan(100, (replace(truth.frame, order=0),), (), "0" * 64)
    monkeypatch.setattr(cascades, "_thread", type("Fresh", (), {})())
    monkeypatch.setattr(cascades, "_FRONTAL", "none.xml")
    with pytest.raises(FaceDetectorMissing):
        pose.analyse_scan(scan, Never(), face_detector=load_face_detector("haar"))
