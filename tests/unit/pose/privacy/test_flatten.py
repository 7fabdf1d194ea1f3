from __future__ import annotations

import numpy as np

from pose.analysis.depth_picture import NOT_MEASURED, depth_picture
from pose.evaluation.harness import render_scan
from pose.privacy.flatten import flatten_heads, head_mask
from pose.privacy.region import HeadRegion, PlacedBy, disc, hull


def head_in(view):
    centre, radius = np.array([90.0, 120.0]), 25.0
    return HeadRegion(
        (90.0, 120.0), radius, hull(disc(centre, radius), view.picture_size), PlacedBy.FACE_DETECTOR
    )


def view_of_child():
    scan, _ = render_scan(5, "standing")
    return scan.frames[0].view


def test_a_head_is_one_depth_and_the_rest_of_the_map_is_kept():
    view = view_of_child()
    heads = [head_in(view)]
    mask = head_mask(heads, view)
    flat = flatten_heads(heads, view)
    before = view.depthmap.depth
    assert 0 < mask.sum() < mask.size / 2
    assert np.ptp(before[mask]) > 0
    assert np.ptp(flat[mask]) == 0
    assert np.array_equal(flat[~mask], before[~mask])


def test_without_heads_nothing_changes_and_the_original_is_never_written():
    view = view_of_child()
    before = view.depthmap.depth.copy()
    assert np.array_equal(flatten_heads([], view), before)
    flatten_heads([head_in(view)], view)
    assert np.array_equal(view.depthmap.depth, before)


def test_the_depth_picture_shows_no_relief_of_the_head():
    view = view_of_child()
    heads = [head_in(view)]
    picture = depth_picture(view, heads, 0)
    height, width = view.depthmap.depth.shape
    factor = picture.shape[0] // height
    small = picture[: height * factor : factor, : width * factor : factor]
    mask = head_mask(heads, view)
    assert len(np.unique(small[mask], axis=0)) == 1
    assert len(np.unique(small[~mask], axis=0)) > 10
    holes = (view.depthmap.depth <= 0) & ~mask
    assert (small[holes] == NOT_MEASURED).all()
