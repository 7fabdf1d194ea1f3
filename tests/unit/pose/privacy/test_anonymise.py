"""Pictures without faces, or none."""

from dataclasses import replace

import numpy as np
import pytest

import pose
from pose.privacy.region import PlacedBy
from tests.support.rendered import person, rendered, two_people, with_face


def published(truth, method="blur"):
    """The picture and the mask of a frame that must not be withheld."""
    covered = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap, method)
    assert covered.reason is None
    assert covered.picture is not None
    assert covered.mask is not None
    return covered.picture, covered.mask


def test_the_face_is_gone_and_the_rest_is_there():
    truth = with_face()
    assert truth.face.sum() > 100
    picture, mask = published(truth)
    assert picture.shape == truth.frame.rgb.shape
    assert mask[truth.face].all()
    changed = (picture != truth.frame.rgb).any(axis=2)
    assert changed[truth.face].mean() > 0.98
    assert changed.mean() < 0.4


def test_the_picture_given_is_not_changed():
    truth = with_face()
    before = truth.frame.rgb.copy()
    pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap)
    assert (truth.frame.rgb == before).all()


def test_heads_of_all_people_are_covered():
    truth = two_people()
    assert len(truth.people) == 2
    covered = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap)
    assert [region.placed_by for region in covered.regions[:2]] == [PlacedBy.HEAD] * 2
    assert covered.mask is not None
    assert covered.mask[truth.face].mean() > 0.999


def test_without_anybody_there_is_no_picture():
    truth = with_face()
    covered = pose.anonymise(truth.frame.rgb, [], truth.frame.depthmap)
    assert covered.picture is None
    assert covered.jpeg() is None
    assert "nobody was found" in str(covered.reason)


def test_one_head_that_cannot_be_placed_withholds_the_picture():
    truth = with_face()
    lost = person(truth.people[0].keypoints, 0.0)
    covered = pose.anonymise(truth.frame.rgb, [*truth.people, lost], truth.frame.depthmap)
    assert covered.picture is None
    assert "could not be placed" in str(covered.reason)


def test_a_picture_that_was_turned_withholds_itself_where_its_depth_map_was_not():
    truth = with_face()
    covered = pose.anonymise(np.rot90(truth.frame.rgb), truth.people, truth.frame.depthmap)
    assert covered.picture is None
    assert "turned or cropped" in str(covered.reason)


@pytest.mark.parametrize("method", ["blur", "solid"])
def test_the_jpeg_is_the_covered_picture(method):
    truth = with_face()
    covered = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap, method)
    data = covered.jpeg()
    assert data is not None
    assert data[:2] == b"\xff\xd8"
    assert b"Exif" not in data


def test_a_picture_larger_than_the_depth_map_is_covered_at_its_full_size():
    truth = rendered(with_face().seed, "standing", size=(960, 720))
    picture, mask = published(truth)
    assert picture.shape == (720, 960, 3)
    assert mask[truth.face].mean() > 0.999


def test_a_colour_camera_of_its_own_moves_the_region():
    truth = with_face()
    frame = truth.frame
    wider = replace(frame.color, fx=frame.color.fx * 0.5, fy=frame.color.fy * 0.5)
    rays = frame.view.to_depth(truth.people[0].keypoints)
    camera = frame.depthmap.intrinsics
    slopes = (rays - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    uv = slopes * (wider.fx, wider.fy) + (wider.cx, wider.cy)
    there = pose.anonymise(frame.rgb, [person(uv)], frame.depthmap, color=wider)
    here = pose.anonymise(frame.rgb, truth.people, frame.depthmap)
    assert there.regions[0].radius_px == pytest.approx(here.regions[0].radius_px / 2, rel=0.05)
