"""A picture that shows another view than its depth map is told from one that shows the same."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pose.geometry.alignment import LIMIT, Alignment, measure_alignment
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from tests.support.rendered import FIRST_SEED, rendered, with_face

SEEDS = range(FIRST_SEED, FIRST_SEED + 6)


def moved(picture, zoom=1.0, right=0.0, down=0.0):
    """The picture zoomed about its middle and shifted, in widths."""
    height, width = picture.shape[:2]
    x, y = (1 - zoom) * (width - 1) / 2 + right * width, (1 - zoom) * (height - 1) / 2 + down * width
    matrix = np.array([[zoom, 0, x], [0, zoom, y]])
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_pictures_as_they_are_rendered_are_aligned(posture):
    for seed in SEEDS:
        frame = rendered(seed, posture).frame
        found = measure_alignment(frame.rgb, frame.view)
        assert not found.misaligned, seed
        assert found.score > 4, seed


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda picture: moved(picture, right=0.06), "shift"),
        (lambda picture: moved(picture, down=-0.05), "shift"),
        (lambda picture: moved(picture, zoom=1.1), "zoom 1.1"),
        (lambda picture: moved(picture, zoom=1.25), "zoom 1.25"),
        (lambda picture: moved(picture, zoom=0.8), "zoom 0.8"),
        (lambda picture: moved(picture, zoom=1.25, right=-0.1, down=-0.1), "zoom 1.25"),
        (lambda picture: picture[:, ::-1], "mirror"),
        (lambda picture: picture[::-1], "mirror upside down"),
        (lambda picture: picture[::-1, ::-1], "half turn"),
    ],
)
def test_a_changed_picture_is_misaligned_and_the_change_is_named(change, name):
    frame = with_face().frame
    found = measure_alignment(np.ascontiguousarray(change(frame.rgb)), frame.view)
    assert found.misaligned
    assert found.change == name


def test_the_picture_of_another_room_is_misaligned():
    frame = with_face().frame
    other = rendered(with_face().seed + 1, "lying").frame
    assert measure_alignment(other.rgb, frame.view).misaligned


def test_the_size_of_the_picture_does_not_matter():
    frame = with_face().frame
    small = measure_alignment(frame.rgb, frame.view)
    large = np.asarray(cv2.resize(frame.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    view = View.of(frame.depthmap, (large.shape[1], large.shape[0]))
    assert measure_alignment(large, view).score == pytest.approx(small.score, rel=0.15)


def test_a_colour_camera_with_a_wider_view_is_aligned_by_its_calibration():
    frame = with_face().frame
    color = frame.color
    wider = replace(color, fx=color.fx * 0.75, fy=color.fy * 0.75)
    shrink = np.array([[0.75, 0, color.cx * 0.25], [0, 0.75, color.cy * 0.25]])
    warped = cv2.warpAffine(frame.rgb, shrink, frame.picture_size, borderMode=cv2.BORDER_REFLECT_101)
    picture = np.asarray(warped, np.uint8)
    assert not measure_alignment(picture, View(frame.depthmap, wider)).misaligned
    assert measure_alignment(picture, frame.view).misaligned


@pytest.mark.parametrize("depth", [0.0, 1.2])
def test_without_edges_nothing_can_be_told(depth):
    camera = Intrinsics(160, 160, 120, 90, 240, 180)
    flat = DepthMap(np.full((180, 240), depth, np.float32), None, camera)
    found = measure_alignment(with_face().frame.rgb, View.of(flat, (320, 240)))
    assert found.margin == pytest.approx(0, abs=0.01)
    assert not found.misaligned
    frame = with_face().frame
    assert measure_alignment(np.zeros_like(frame.rgb), frame.view).margin == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (180, 240), (640, 480)])
def test_depth_maps_of_any_size_are_measured(size):
    width, height = size
    camera = Intrinsics(160, 160, width / 2, height / 2, width, height)
    depth = np.random.default_rng(1).uniform(0.5, 2, (height, width)).astype(np.float32)
    view = View.of(DepthMap(depth, None, camera), (64, 48))
    assert np.isfinite(measure_alignment(np.zeros((48, 64, 3), np.uint8), view).margin)


def test_the_margin_decides():
    assert Alignment(score=5, other=5 - LIMIT + 0.01, change="shift").misaligned
    assert not Alignment(score=5, other=5 - LIMIT - 0.01, change="shift").misaligned
