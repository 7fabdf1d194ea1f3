"""Draw depth maps in colour: with a scale, the line of the floor, and heads flattened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.geometry.orientation import turn_picture, turn_points
from pose.geometry.view import View
from pose.lifting.skeleton import Skeleton
from pose.privacy.flatten import flatten_heads
from pose.privacy.region import HeadRegion

# Viridis, made so that equal steps of depth look like equal steps of colour, also to the colour-blind and in
# grey (van der Walt and Smith, "A better default colormap for matplotlib", SciPy 2015). Near is light.
_COLOURS: Final = cv2.COLORMAP_VIRIDIS
RANGE: Final = 3.0  # metres; what is farther has the colour of this depth
LYING_RANGE: Final = 1.5
NOT_MEASURED: Final = (90, 90, 90)  # RGB; viridis has no grey
_LINE: Final = (255, 255, 255)
_RIM: Final = (24, 24, 24)
_SIDE: Final = 480  # pixels: a smaller depth map is enlarged by a whole number to about this
_BAR: Final = 14  # width of the scale's bar
_MARGIN: Final = 64  # width of the scale with its bar and text
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_LINE_HALF: Final = 0.6  # half the length of the floor's line, and
_MARK_HALF: Final = 0.12  # of the crown's mark, in metres


@dataclass(frozen=True, eq=False)
class Marks:
    """World points that are marked in a depth picture; None where unknown.

    Attributes:
        floor: (3,) metres, where the child stands on the floor.
        crown: (3,) metres, the top of the child's head.
    """

    floor: NDArray[np.float64] | None = None
    crown: NDArray[np.float64] | None = None


def floor_below(skeleton: Skeleton) -> NDArray[np.float64] | None:
    """Return the world point of the floor below a skeleton's feet, (3,) metres; None if either is unknown."""
    feet = [joint for joint in (kp.LEFT_ANKLE, kp.RIGHT_ANKLE) if skeleton.observed[joint]]
    if skeleton.floor is None or not feet:
        return None
    x, _, z = skeleton.joints[feet].mean(axis=0)
    return np.array([x, skeleton.floor, z])


def depth_picture(
    view: View, heads: Sequence[HeadRegion], turns: int, *, lying: bool = False, marks: Marks | None = None
) -> NDArray[np.uint8]:
    """Return a depth map as a picture, upright, with a scale in metres at its right side.

    Args:
        view: the depth map, and the camera in whose pixels the heads are.
        heads: all heads in the view. They are flat in the picture, see `flatten_heads`.
        turns: quarter turns clockwise that bring the depth map upright.
        lying: the colours are for 0 to 1.5 m if true, else for 0 to 3 m.
        marks: what to mark.

    Returns:
        (h, w, 3) uint8 RGB, a new array.
    """
    depthmap, farthest = view.depthmap, LYING_RANGE if lying else RANGE
    depth = flatten_heads(heads, view)
    colours = _coloured(depth / farthest)
    colours[depth <= 0] = NOT_MEASURED
    upright = turn_picture(colours, turns)
    factor = max(1, round(_SIDE / max(upright.shape[:2])))
    canvas = np.ascontiguousarray(upright.repeat(factor, axis=0).repeat(factor, axis=1))
    if marks is not None and marks.floor is not None:
        _draw_level(canvas, depthmap, turns, factor, marks.floor, _LINE_HALF, "floor")
    if marks is not None and marks.crown is not None:
        _draw_level(canvas, depthmap, turns, factor, marks.crown, _MARK_HALF, "crown")
    return np.hstack((canvas, _scale(canvas.shape[0], farthest)))


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as a PNG file without any metadata.

    Raises:
        ValueError: the array is not a picture that OpenCV can encode.
    """
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not ok:
        raise ValueError(f"a picture of shape {picture.shape} cannot be encoded")
    return data.tobytes()


def _coloured(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the colours (H, W, 3) uint8 RGB of depths as a share of the farthest."""
    level = np.rint(255 * (1 - np.clip(share, 0, 1))).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(level, _COLOURS), cv2.COLOR_BGR2RGB), np.uint8)


def _draw_level(
    canvas: NDArray[np.uint8],
    depthmap: DepthMap,
    turns: int,
    factor: int,
    point: NDArray[np.float64],
    half: float,
    name: str,
) -> None:
    """Draw a level line through a world point, from the viewer's left to right, and its name."""
    # In the upright picture, the camera axis that points to the right is x or y of the sensor.
    right = (depthmap.rotation[:, 0], depthmap.rotation[:, 1])[turns % 2]
    right = right * (1.0, 0.0, 1.0)
    length = float(np.linalg.norm(right))
    if length < 1e-6:
        return
    ends = point + np.array([[-half], [half]]) * right / length
    u, v, depth = depthmap.project(ends)
    if depth.min() <= 0:
        return
    at = turn_points(np.column_stack((u, v)), turns, depthmap.width, depthmap.height)
    far = 4 * max(canvas.shape)  # OpenCV overflows when it draws to points far outside
    at = np.clip((at + 0.5) * factor - 0.5, -far, far)
    at = at[np.argsort(at[:, 0])]
    a, b = np.rint(at).astype(int).tolist()
    for colour, thick in ((_RIM, 4), (_LINE, 2)):
        cv2.line(canvas, a, b, colour, thick, cv2.LINE_AA)
    _write(canvas, name, (max(a[0], 4), a[1] - 6))


def _scale(height: int, farthest: float) -> NDArray[np.uint8]:
    """Return the scale, (height, 64, 3) uint8 RGB: near at the top."""
    scale = np.full((height, _MARGIN, 3), _RIM, np.uint8)
    top, bottom = height // 20 + 8, height - height // 20 - 8
    shares = np.linspace(0, 1, bottom - top, dtype=np.float32)
    scale[top:bottom, 8 : 8 + _BAR] = _coloured(shares[:, None])
    for step in range(round(2 * farthest) + 1):  # every half metre
        row = top + round((bottom - top - 1) * step / (2 * farthest))
        cv2.line(scale, (8, row), (12 + _BAR, row), _LINE, 1)
        _write(scale, f"{step / 2:g} m", (14 + _BAR, row + 4), 0.35)
    return scale


def _write(canvas: NDArray[np.uint8], text: str, at: tuple[int, int], size: float = 0.45) -> None:
    for colour, thick in ((_RIM, 3), (_LINE, 1)):
        cv2.putText(canvas, text, at, _FONT, size, colour, thick, cv2.LINE_AA)
