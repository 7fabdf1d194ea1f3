"""Pictures without faces, or none at all.

Where it is not certain that every head is covered, no picture leaves. That is a normal outcome, with a
reason; the numbers of a frame do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose.calibration import Intrinsics
from pose.cover import Method, cover, encode_jpeg
from pose.depthmap import DepthMap
from pose.estimator import Person
from pose.heads import HeadNotPlaced, HeadRegion, find_heads, region_mask

__all__ = ["Anonymised", "HeadRegion", "Method", "anonymise"]


@dataclass(frozen=True, eq=False)
class Anonymised:
    """A picture without faces, or the reason why there is none.

    Attributes:
        picture: (H, W, 3) uint8 RGB, of the size and orientation of the one given; None if withheld.
        reason: why it was withheld, for a person to read; None otherwise.
        regions: the heads that were covered, one a person. Some may lie wholly outside the picture.
        mask: (H, W) bool, the covered pixels; None if withheld.
    """

    picture: NDArray[np.uint8] | None
    reason: str | None
    regions: tuple[HeadRegion, ...] = ()
    mask: NDArray[np.bool_] | None = None

    def jpeg(self) -> bytes | None:
        """The picture as a JPEG file without any metadata; None if withheld."""
        return None if self.picture is None else encode_jpeg(self.picture)


def anonymise(
    rgb: NDArray[np.uint8],
    people: Sequence[Person],
    depthmap: DepthMap,
    method: Method = "blur",
    color: Intrinsics | None = None,
) -> Anonymised:
    """Cover the heads of all people.

    This can still miss a person that was not found at all, which nothing here can notice.

    Args:
        rgb: (H, W, 3) uint8 RGB; it is not changed.
        people: all that were found in it, with keypoints in its pixels. Also those who do not matter.
        depthmap: of the same view.
        method: "blur" leaves at most 4 x 4 colours of a head, "solid" none.
        color: the colour camera (`Frame.color`). Not needed where both cameras share one view.

    Returns:
        A picture; or none where nobody was found (then somebody may have been overlooked), or where a
        head could not be placed with certainty.
    """
    height, width = rgb.shape[:2]
    if not people:
        return Anonymised(None, "nobody was found, so it is not certain that no face is seen")
    try:
        regions = find_heads(people, depthmap, (width, height), color)
    except HeadNotPlaced as error:
        return Anonymised(None, f"a head could not be placed: {error}")
    mask = region_mask(regions, (width, height))
    return Anonymised(cover(rgb, mask, method), None, regions, mask)
