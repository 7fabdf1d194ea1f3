"""Heads in depth maps are flat."""

from dataclasses import replace

import numpy as np

from pose.privacy.find_heads import find_all_heads
from pose.privacy.flatten import flatten_heads, head_mask
from tests.support.rendered import two_people, with_face


def heads_of(truth):
    return find_all_heads(truth.people, (), truth.frame.view)


def test_every_head_is_flat_and_the_rest_is_as_it_was():
    for truth in (with_face(), two_people()):
        heads, view = heads_of(truth), truth.frame.view
        assert heads.reason is None
        mask = head_mask(heads.regions, view)
        flat = flatten_heads(heads.regions, view)
        assert (flat[~mask] == view.depthmap.depth[~mask]).all()
        for region in heads.regions:
            inside = head_mask([region], view)
            assert inside.any()
            assert len(np.unique(flat[inside])) == 1


def test_the_relief_of_the_face_is_gone():
    truth = with_face()
    view = truth.frame.view
    v, u = np.nonzero(truth.face)
    at = np.rint(view.to_depth(np.column_stack((u, v)))).astype(int)
    before = view.depthmap.depth[at[:, 1], at[:, 0]]
    after = flatten_heads(heads_of(truth).regions, view)[at[:, 1], at[:, 0]]
    assert np.ptp(before[before > 0]) > 0.02
    assert np.ptp(after) == 0


def test_holes_are_filled_and_a_head_without_depth_stays_without():
    truth = with_face()
    regions, view = heads_of(truth).regions, truth.frame.view
    mask = head_mask(regions, view)
    holes = np.where(mask & (np.arange(view.depthmap.width) % 2 == 0), 0, view.depthmap.depth)
    holed = replace(view, depthmap=replace(view.depthmap, depth=holes.astype(np.float32)))
    assert (flatten_heads(regions, holed)[mask] > 0).all()
    empty = replace(view, depthmap=replace(view.depthmap, depth=np.zeros_like(holed.depthmap.depth)))
    assert not flatten_heads(regions, empty).any()


def test_a_region_far_outside_the_picture_changes_nothing():
    truth = with_face()
    region = heads_of(truth).regions[0]
    outside = replace(region, outline=region.outline + 10**7)
    assert not head_mask([outside], truth.frame.view).any()
