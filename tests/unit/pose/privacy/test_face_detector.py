"""What is done with the faces that a face detector finds."""

from dataclasses import replace

import numpy as np
import pytest

from pose.geometry.view import View
from pose.privacy.cascades import Cascades
from pose.privacy.face_detector import FaceDetector, find_uncovered, head_of_face, is_contradicted, unredacted
from pose.privacy.region import region_mask
from tests.support.rendered import with_face

NO_MASK = np.zeros((240, 320), bool)


def test_a_face_is_redacted_if_its_middle_is_masked():
    faces = np.array([(10.0, 10.0, 50.0, 50.0), (200.0, 100.0, 240.0, 140.0)])
    mask = NO_MASK.copy()
    mask[18:43, 18:43] = True
    assert unredacted(faces, mask).tolist() == [[200, 100, 240, 140]]
    mask[18:43, 18:26] = False  # a strip of the middle shows
    assert len(unredacted(faces, mask)) == 2


def with_depth(depth):
    """A view of a picture with the test's size, and of this depth."""
    truth = with_face()
    return View(replace(truth.frame.depthmap, depth=depth.astype(np.float32)), truth.frame.color)


def depth_of(truth, metres):
    return np.full(truth.frame.depthmap.depth.shape, metres, np.float32)


def head_on(background, side_px=24):
    """Depth of a head at 1.2 m in the middle of the map, in front of a background."""
    depth = background.copy()
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    inside = np.hypot(v - depth.shape[0] / 2, u - depth.shape[1] / 2) < side_px / 2
    depth[inside] = 1.2
    return depth


def box_about_the_middle(view, side_px):
    """A box whose side is this many pixels of the depth map."""
    height, width = view.depthmap.depth.shape
    corners = np.array([(width / 2, height / 2)] * 2) + np.array([(-0.5,), (0.5,)]) * side_px
    return view.to_picture(corners).ravel()


def test_a_face_on_a_wall_or_a_trunk_is_contradicted():
    truth = with_face()
    for metres in (0.8, 1.5, 3.0):
        wall = with_depth(depth_of(truth, metres))
        assert is_contradicted(box_about_the_middle(wall, 14), wall)


def test_a_box_larger_than_any_face_is_contradicted():
    truth = with_face()
    view = with_depth(head_on(depth_of(truth, 2.0), 90))
    assert is_contradicted(box_about_the_middle(view, 80), view)


@pytest.mark.parametrize("behind", [0.1, 0.5, 2.0])
def test_a_head_in_front_of_something_is_not_contradicted(behind):
    truth = with_face()
    view = with_depth(head_on(depth_of(truth, 1.2 + behind)))
    assert not is_contradicted(box_about_the_middle(view, 17), view)


def test_nothing_is_contradicted_where_depth_is_missing():
    truth = with_face()
    empty = with_depth(depth_of(truth, 0))
    assert not is_contradicted(box_about_the_middle(empty, 14), empty)
    alone = with_depth(head_on(depth_of(truth, 0)))
    assert not is_contradicted(box_about_the_middle(alone, 17), alone)


class Finds(FaceDetector):
    """Finds one face."""

    name, version, head_radius = "told", "1", 0.8

    def __init__(self, face):
        self.face = face

    def find(self, rgb, turns=None, mask=None):
        return self.face[None]


@pytest.mark.parametrize("needs_depth", [True, False])
def test_depth_contradicts_only_a_detector_that_needs_it(needs_depth):
    truth = with_face()
    wall = with_depth(depth_of(truth, 1.5))
    detector = Finds(box_about_the_middle(wall, 14))
    detector.needs_depth = needs_depth
    assert len(find_uncovered(detector, truth.frame.rgb, wall, NO_MASK, 0)) == (0 if needs_depth else 1)
    assert Cascades.needs_depth


def test_the_region_of_a_face_is_a_disc_about_its_box():
    face = np.array([100.0, 60.0, 200.0, 180.0])
    view = with_face().frame.view
    region = head_of_face(face, view, 0.8)
    assert region.centre == (150, 120)
    assert region.radius_px == pytest.approx(96)
    assert not len(unredacted(face[None], region_mask([region], (320, 240))))
