"""Depth maps as pictures."""

from dataclasses import replace

import numpy as np
import pytest

import pose
from pose.analysis.depth_picture import (
    LYING_RANGE,
    NOT_MEASURED,
    RANGE,
    Marks,
    depth_picture,
    encode_png,
    floor_below,
)
from pose.geometry.orientation import turn_picture
from pose.geometry.view import View
from pose.privacy.find_heads import find_all_heads
from pose.scan.pictures import decode_picture
from tests.support.rendered import with_face

SCALE = 64  # width of the scale beside the depth map


@pytest.fixture(scope="module")
def truth():
    return with_face()


def view_of(truth, depth):
    depthmap = replace(truth.frame.depthmap, depth=depth.astype(np.float32))
    return View.of(depthmap, truth.frame.picture_size)


def colour_at(truth, metres, lying=False):
    depth = np.full_like(truth.frame.depthmap.depth, metres)
    return depth_picture(view_of(truth, depth), (), 0, lying=lying)[0, 0].astype(int)


def test_the_picture_is_upright_and_has_a_scale(truth):
    shapes = [depth_picture(truth.frame.view, (), turns).shape for turns in (0, 1)]
    (height, width), side = truth.frame.depthmap.depth.shape, max(truth.frame.depthmap.depth.shape)
    factor = round(480 / side)
    assert shapes == [
        (factor * height, factor * width + SCALE, 3),
        (factor * width, factor * height + SCALE, 3),
    ]


def test_each_depth_has_its_colour_and_a_pixel_without_depth_is_grey(truth):
    depth = truth.frame.depthmap.depth.copy()
    depth[0, 0] = 0
    drawn = depth_picture(view_of(truth, depth), (), 0)
    assert tuple(drawn[0, 0]) == NOT_MEASURED
    lightness = [colour_at(truth, metres).sum() for metres in (0.5, 1.0, 1.5, 2.0, 2.5)]
    assert lightness == sorted(lightness, reverse=True)
    assert (colour_at(truth, 1.0, lying=True) == colour_at(truth, RANGE / LYING_RANGE)).all()
    assert (colour_at(truth, 9.0) == colour_at(truth, RANGE)).all()


def test_the_head_is_one_colour(truth):
    heads = find_all_heads(truth.people, (), truth.frame.view).regions
    drawn = depth_picture(truth.frame.view, heads, 0)
    factor = drawn.shape[0] // truth.frame.depthmap.height
    v, u = np.nonzero(truth.face)
    at = np.rint(truth.frame.view.to_depth(np.column_stack((u, v)))).astype(int) * factor
    assert len(np.unique(drawn[at[:, 1], at[:, 0]], axis=0)) == 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_marks_are_drawn_where_the_points_are_and_not_outside(truth, turns):
    frame, someone = truth.frame, truth.people[0]
    skeleton = pose.lift(frame.depthmap, someone.keypoints, someone.scores, frame.picture_size)
    ground = floor_below(skeleton)
    assert ground is not None
    top = ground + np.array([0.0, 0.9, 0.0])
    plain = depth_picture(frame.view, (), turns)
    drawn = depth_picture(frame.view, (), turns, marks=Marks(floor=ground, crown=top))
    changed = turn_picture((plain != drawn).any(axis=2)[:, : plain.shape[1] - SCALE], -turns)
    factor = changed.shape[0] // frame.depthmap.height
    inside = 0
    for point in (ground, top):
        u, v, _ = frame.depthmap.project(point)
        column, row = int(np.rint(u)) * factor, int(np.rint(v)) * factor
        if 0 <= column < changed.shape[1] and 0 <= row < changed.shape[0]:
            inside += 1
            assert changed[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5].any()
    assert inside
    behind = frame.depthmap.translation + 2 * frame.depthmap.rotation[:, 2]
    assert (depth_picture(frame.view, (), turns, marks=Marks(floor=behind)) == plain).all()


def test_without_floor_or_feet_there_is_no_line(truth):
    frame, someone = truth.frame, truth.people[0]
    skeleton = pose.lift(frame.depthmap, someone.keypoints, someone.scores, frame.picture_size)
    assert floor_below(replace(skeleton, floor=None)) is None
    hidden = skeleton.observed.copy()
    hidden[-2:] = False
    assert floor_below(replace(skeleton, observed=hidden)) is None


def test_the_file_is_a_png_without_metadata(truth):
    drawn = depth_picture(truth.frame.view, (), 0)
    data = encode_png(drawn)
    assert (decode_picture(data) == drawn).all()
    kinds, at = [], 8
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
