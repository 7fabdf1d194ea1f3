"""A picture as views that are turned, mirrored and cut: arrays whose memory is in another order."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE: Final = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
PICTURE: Final[NDArray[np.uint8]] = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 1), np.uint8)


def views() -> list[NDArray[np.uint8]]:
    """Return views of the picture: every turn and mirroring, other order of colours, and a part."""
    turned = [np.rot90(PICTURE, turns) for turns in range(4)]
    mirrored = [view[::-1] for view in turned]
    return [*turned, *mirrored, PICTURE[..., ::-1], PICTURE[10:60, 20:90], np.rot90(PICTURE[10:60, 20:90])]
