"""Flatten heads in a depth map: the relief of a face tells who it is, as a picture of it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry.view import View
from pose.privacy.region import HeadRegion

_RIM: Final = 3  # side in pixels of the square that widens a region by the pixel on its edge


def head_mask(regions: Sequence[HeadRegion], view: View) -> NDArray[np.bool_]:
    """Return an (H, W) bool mask of the depth map, True on all pixels of the heads and one pixel farther.

    Args:
        regions: in pixels of the view's picture.
        view: maps them to pixels of its depth map.
    """
    depthmap = view.depthmap
    mask = np.zeros((depthmap.height, depthmap.width), np.uint8)
    far = 4 * max(mask.shape)  # OpenCV overflows when it draws huge polygons
    for region in regions:
        if len(region.outline):
            at = np.clip(view.to_depth(region.outline), -far, far)
            cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(at).astype(np.int32)), 1)
    return cv2.dilate(mask, np.ones((_RIM, _RIM), np.uint8)) > 0


def flatten_heads(regions: Sequence[HeadRegion], view: View) -> NDArray[np.float32]:
    """Return a copy of a view's depth map, (H, W) float32 metres, in which heads are flat.

    All pixels of a connected region get the median of the depths measured there (0 if there are none), so
    only the region's outline and its distance are kept. Holes in it are filled too: they outline hair.

    Args:
        regions: all heads, in pixels of the view's picture.
        view: the picture, by its camera, and the depth map.
    """
    flat = view.depthmap.depth.copy()
    count, labels = cv2.connectedComponents(head_mask(regions, view).astype(np.uint8), connectivity=8)
    for label in range(1, count):
        region = labels == label
        measured = flat[region & (flat > 0)]
        flat[region] = np.median(measured) if measured.size else 0.0
    return flat
