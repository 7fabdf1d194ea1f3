"""Pictures without faces, or none."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

import pose
from pose.privacy.redact import METHODS
from pose.privacy.region import PlacedBy
from pose.scan.pictures import encode_jpeg
from tests.support.rendered import headless, person, rendered, two_people, with_face


def published(truth, method="blur"):
    """The picture and the mask of a frame that must not be withheld."""
    redacted = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap, method)
    assert redacted.reason is None
    assert redacted.picture is not None
    assert redacted.mask is not None
    return redacted.picture, redacted.mask


def test_the_face_is_redacted_and_the_rest_is_kept():
    truth = with_face()
    before = truth.frame.rgb.copy()
    picture, mask = published(truth)
    assert (truth.frame.rgb == before).all()
    assert picture.shape == truth.frame.rgb.shape
    assert mask[truth.face].all()
    changed = (picture != truth.frame.rgb).any(axis=2)
    assert changed[truth.face].mean() > 0.98
    assert changed.mean() < 0.4


def test_heads_of_all_people_are_redacted():
    truth = two_people()
    assert len(truth.people) == 2
    redacted = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap)
    assert [region.placed_by for region in redacted.regions[:2]] == [PlacedBy.HEAD] * 2
    assert redacted.mask is not None
    assert redacted.mask[truth.face].mean() > 0.999


def test_the_picture_is_withheld_if_nobody_was_found():
    truth = with_face()
    redacted = pose.anonymise(truth.frame.rgb, [], truth.frame.depthmap)
    assert redacted.picture is None
    assert redacted.jpeg() is None
    assert "nobody was found" in str(redacted.reason)


def test_the_picture_is_withheld_if_one_head_cannot_be_placed():
    truth = with_face()
    lost = headless(truth.people[0].keypoints)
    redacted = pose.anonymise(truth.frame.rgb, [*truth.people, lost], truth.frame.depthmap)
    assert redacted.picture is None
    assert "could not be placed" in str(redacted.reason)


@pytest.mark.parametrize("share, withheld", [(0.04, False), (0.07, True)])
def test_the_picture_is_withheld_if_something_too_near_fills_a_part_of_it(share, withheld):
    truth = with_face()
    depth = truth.frame.depthmap.depth.copy()
    depth[: round(share * len(depth))] = 0.2
    near = replace(truth.frame.depthmap, depth=depth)
    redacted = pose.anonymise(truth.frame.rgb, truth.people, near)
    assert (redacted.picture is None) == withheld
    assert ("nearer than 0.25 m" in str(redacted.reason)) == withheld


def test_a_picture_that_was_turned_without_its_depth_map_is_withheld():
    truth = with_face()
    redacted = pose.anonymise(np.rot90(truth.frame.rgb), truth.people, truth.frame.depthmap)
    assert redacted.picture is None
    assert "turned or cropped" in str(redacted.reason)


@pytest.mark.parametrize("method", METHODS)
def test_the_jpeg_is_the_redacted_picture(method):
    truth = with_face()
    redacted = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap, method)
    assert redacted.picture is not None
    assert redacted.jpeg() == encode_jpeg(redacted.picture)


def test_a_picture_larger_than_the_depth_map_is_redacted_at_full_size():
    truth = rendered(with_face().seed, "standing", size=(960, 720))
    picture, mask = published(truth)
    assert picture.shape == (720, 960, 3)
    assert mask[truth.face].mean() > 0.999


def test_a_separate_colour_camera_scales_the_region():
    truth = with_face()
    frame = truth.frame
    wider = replace(frame.color, fx=frame.color.fx * 0.5, fy=frame.color.fy * 0.5)
    rays = frame.view.to_depth(truth.people[0].keypoints)
    camera = frame.depthmap.intrinsics
    slopes = (rays - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    uv = slopes * (wider.fx, wider.fy) + (wider.cx, wider.cy)
    # Twice the view: what the camera shows is half as large, about its middle.
    shrink = np.array([[0.5, 0, wider.cx / 2], [0, 0.5, wider.cy / 2]])
    seen = cv2.warpAffine(frame.rgb, shrink, frame.picture_size, borderMode=cv2.BORDER_REFLECT)
    there = pose.anonymise(np.asarray(seen, np.uint8), [person(uv)], frame.depthmap, color=wider)
    here = pose.anonymise(frame.rgb, truth.people, frame.depthmap)
    assert there.regions[0].radius_px == pytest.approx(here.regions[0].radius_px / 2, rel=0.05)


def test_a_picture_of_another_view_than_the_depth_map_is_withheld():
    truth = with_face()
    mirrored = np.ascontiguousarray(truth.frame.rgb[:, ::-1])
    redacted = pose.anonymise(mirrored, truth.people, truth.frame.depthmap)
    assert redacted.picture is None
    assert redacted.reason == "it does not show the same view as the depth map"
