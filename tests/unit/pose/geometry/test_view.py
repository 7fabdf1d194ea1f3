"""Points go from the picture to the depth map and back."""

from __future__ import annotations

import numpy as np
import pytest

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.scan.calibration import Calibration

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
NOTHING = np.zeros((18, 24), np.float32)


def test_if_both_cameras_have_one_view_points_are_only_scaled():
    view = View.of(DepthMap(NOTHING, None, Calibration(PHONE, PHONE).depth_intrinsics(24, 18)), (64, 48))
    points = np.array([[0.0, 0.0], [32.0, 24.0], [63.0, 47.0]])
    # The last row goes to the last row, because a calibration's cy counts from there.
    scaled = np.column_stack([points[:, 0] * 24 / 64, 17 - (47 - points[:, 1]) * 18 / 48])
    assert view.to_depth(points) == pytest.approx(scaled)
    assert view.picture_size == (64, 48)


def test_if_the_cameras_differ_points_are_mapped_by_their_intrinsics():
    camera = Calibration((0.8, 1.0, 0.5, 0.5), (0.4, 0.5, 0.5, 0.5))
    depthmap = DepthMap(NOTHING, None, camera.depth_intrinsics(24, 18))
    view = View(depthmap, camera.color_intrinsics(64, 48))
    # The depth camera sees twice as much, so the picture covers the middle half of the depth map.
    assert view.to_depth([[0.0, 47.0], [32.0, 23.0]]) == pytest.approx(np.array([[6, 12.5], [12, 8]]))


@pytest.mark.parametrize("color", [None, Intrinsics(230.0, 226.0, 150.0, 121.0, 320, 240)])
def test_to_picture_is_the_inverse_of_to_depth(color: Intrinsics | None):
    view = View.of(DepthMap(NOTHING, None, Intrinsics(14.0, 13.0, 12.5, 8.0, 24, 18)), (320, 240), color)
    points = np.random.default_rng(0).uniform(-10, 330, (50, 2))
    assert view.to_picture(view.to_depth(points)) == pytest.approx(points)
