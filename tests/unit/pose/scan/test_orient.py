"""A picture's EXIF orientation is applied only if the picture then agrees with its depth map."""

from dataclasses import replace

import numpy as np
import pytest

from pose.scan.exif import apply_orientation
from pose.scan.orient import choose_orientation
from tests.support.rendered import with_face

UNDOING = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def stored_as(picture):
    return replace(with_face().frame, rgb=np.ascontiguousarray(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_hint_for_viewers_changes_nothing(orientation):
    frame = stored_as(with_face().frame.rgb)
    chosen = choose_orientation(frame, orientation)
    assert chosen.rgb is frame.rgb
    assert chosen.exif_orientation == 1
    assert not chosen.misaligned


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_stored_turn_or_mirror_image_is_undone(orientation):
    picture = with_face().frame.rgb
    chosen = choose_orientation(stored_as(apply_orientation(picture, UNDOING[orientation])), orientation)
    assert (chosen.rgb == picture).all()
    assert chosen.exif_orientation == orientation
    assert not chosen.misaligned


@pytest.mark.parametrize(("orientation", "stored"), [(2, 3), (3, 2), (6, 3), (8, 2)])
def test_an_orientation_that_contradicts_the_depth_map_is_not_trusted(orientation, stored):
    picture = apply_orientation(with_face().frame.rgb, stored)
    assert choose_orientation(stored_as(picture), orientation).misaligned


def test_without_edges_the_orientation_is_not_known():
    frame = stored_as(np.zeros_like(with_face().frame.rgb))
    assert choose_orientation(frame, 1).orientation_known
    chosen = choose_orientation(frame, 3)
    assert not chosen.orientation_known
    assert chosen.misaligned


def test_a_picture_that_fits_in_neither_way_stays_as_it_is_stored():
    cut = stored_as(with_face().frame.rgb[:, 100:])
    chosen = choose_orientation(cut, 6)
    assert chosen.rgb is cut.rgb
    assert chosen.exif_orientation == 1
    assert not chosen.view.fits
