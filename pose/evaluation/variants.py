"""Change pictures as phones, apps and transfers do, so that they no longer fit their depth maps.

Each function takes a picture or a mask (H, W, ...) and returns one of the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]
CROPPED: Final = 0.2  # share that `crop80` cuts off, at the left and at the top


def mirror(picture: Picture) -> Picture:
    """Exchange left and right."""
    return np.ascontiguousarray(picture[:, ::-1])


def crop80(picture: Picture) -> Picture:
    """Zoom by 1.25 into the lower right corner."""
    height, width = picture.shape[:2]
    part = picture[round(CROPPED * height) :, round(CROPPED * width) :]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


VARIANTS: Final[dict[str, Callable[[Picture], Picture]]] = {"mirror": mirror, "crop80": crop80}
