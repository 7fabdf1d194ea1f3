"""YuNet, the learned face detector (Wu et al., "YuNet: a tiny millisecond-level face detector", 2023).

It runs in two stages. The first looks once at the whole picture, and proposes whatever has the least likeness
to a face: also faces that are small, or tilted as YuNet does not know them. The second looks at each proposal
again, enlarged to the size that YuNet knows best and turned step by step. There a face scores 0.9, whatever
its size and tilt in the picture, and other things score less than `MIN_SCORE`. This costs less than
searching the picture in several sizes and turns. `python -m pose.evaluation.faces_found` prints the table by
which the numbers here were chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry.orientation import unturn_points
from pose.privacy.face_detector import FaceDetector, unredacted
from pose.privacy.yunet_network import OVERLAP, Network, WithOpenCV, WithOpenVINO
from pose.weights.checkpoint import Checkpoint
from pose.weights.ingest import onnx_bytes

MIN_SCORE: Final = 0.8  # of a face in the second stage

# The second stage. Pixels of a cell.
_CELL: Final = 96  # a square that holds one view of a proposal
_FACE: Final = 56  # the longer side of its box in the cell
_NEAR: Final = 0.4  # a face belongs to the proposal if its middle is nearer than this, in sides of the box,
_SIZES: Final = (0.5, 1.7)  # and its side is within these
_COLUMNS: Final = 8  # of cells in the picture that YuNet gets
_SMALL: Final = 56  # pixels of the first stage: smaller faces are only found if nearly upright
_TURNS_OF_SMALL: Final = (0.0, 35.0, -35.0)  # degrees
_TURNS: Final = tuple(45.0 * i for i in range(8))


@dataclass(frozen=True)
class Plan:
    """What the first stage does.

    Attributes:
        long_side: of the copy of the picture, in pixels. A smaller picture is not enlarged.
        small, large: the lowest scores of proposals smaller and larger than `_SMALL`.
        most: proposals that the second stage looks at, the best first. It bounds the time that a picture
            full of patterns takes.
    """

    long_side: int = 1216
    small: float = 0.04
    large: float = 0.12
    most: int = 80


class YuNet(FaceDetector):
    """YuNet in two stages, on one core of the CPU. It may be used by several threads.

    Args:
        weights: as a store has them.
        plan: what the first stage does.
        runtime: "openvino", or "torch": then OpenCV runs the network.

    Raises:
        FaceDetectorMissing: this OpenCV has no FaceDetectorYN.
        InvalidWeights: these are not YuNet's, or the runtime cannot read them.
    """

    head_radius = 0.8  # hair and ears lie outside the box
    thread_safe = True

    def __init__(self, weights: Checkpoint, plan: Plan | None = None, runtime: str = "torch") -> None:
        self.name = weights.facts["name"]
        self.version = weights.facts["version"]
        self._plan = plan or Plan()
        model = onnx_bytes(weights)
        self._network: Network = WithOpenVINO(model) if runtime == "openvino" else WithOpenCV(model)
        self.runtime = self._network.runtime

    def find(
        self, rgb: NDArray[np.uint8], turns: int | None = None, mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return boxes (n, 4), the most certain first: squares around each face. See `FaceDetector.find`."""
        return self.find_with_scores(rgb, turns, mask)[:, :4]

    def find_with_scores(
        self,
        rgb: NDArray[np.uint8],
        turns: int | None = None,
        mask: NDArray[np.bool_] | None = None,
        min_score: float = MIN_SCORE,
    ) -> NDArray[np.float64]:
        """Return boxes and scores (n, 5): x0, y0, x1, y1 in pixels of the picture, and 0..1."""
        found = [np.empty((0, 5))]
        for turn in range(4) if turns is None else (turns % 4,):
            boxes, is_small = self._propose(rgb, turn)
            if mask is not None:
                is_open = _are_open(boxes, mask)
                boxes, is_small = boxes[is_open], is_small[is_open]
            found.append(self._confirm(rgb, boxes, is_small, turn, min_score))
        faces = _without_doubles(np.concatenate(found))
        return faces if mask is None else faces[_are_open(faces, mask)]

    def _propose(self, rgb: NDArray[np.uint8], turn: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return boxes (n, 4) in pixels of the picture, and whether each is small in the copy."""
        height, width = rgb.shape[:2]
        scale = min(1.0, self._plan.long_side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        # To take little away, a linear filter is as good as the mean of an area, and four times as fast.
        how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
        copy = rgb if scale == 1 else np.asarray(cv2.resize(rgb, size, interpolation=how), np.uint8)
        found = self._network.detect(_upright(copy, turn), self._plan.small)
        # A network that sees nothing but black gives boxes without bounds.
        found = found[(np.abs(found[:, :4]) <= 2 * self._plan.long_side).all(axis=1)]
        is_small = found[:, 2:4].max(axis=1, initial=0) < _SMALL
        kept = np.flatnonzero(is_small | (found[:, 4] >= self._plan.large))
        kept = kept[np.argsort(-found[kept, 4], kind="stable")][: self._plan.most]
        corners = np.stack([found[kept, :2], found[kept, :2] + found[kept, 2:4]], axis=1)  # (n, 2, 2)
        at = (unturn_points(corners, turn, *size) + 0.5) / (size[0] / width, size[1] / height) - 0.5
        return np.concatenate([at.min(axis=1), at.max(axis=1)], axis=1), is_small[kept]

    def _confirm(
        self,
        rgb: NDArray[np.uint8],
        boxes: NDArray[np.float64],
        is_small: NDArray[np.bool_],
        turn: int,
        min_score: float,
    ) -> NDArray[np.float64]:
        """Return boxes and scores (n, 5) of those proposals that are faces."""
        cells, owners, back = [], [], []
        for i, box in enumerate(boxes):
            patch, corner, scale = _patch(rgb, box)
            for degrees in _TURNS_OF_SMALL if is_small[i] else _TURNS:
                to_cell = _turned(box, corner, scale, degrees - 90 * turn)
                cell = cv2.warpAffine(patch, to_cell, (_CELL, _CELL), borderMode=cv2.BORDER_REPLICATE)
                cells.append(np.asarray(cell, np.uint8))
                owners.append(i)
                # From the cell to the picture: the patch may be smaller than what it shows.
                back.append((cv2.invertAffineTransform(to_cell), corner, scale))
        if not cells:
            return np.empty((0, 5))
        found = self._network.detect(_mosaic(cells), min_score)
        faces = []
        for x, y, w, h, score in found:
            u, v, side = x + w / 2, y + h / 2, max(w, h)
            column, row = int(u // _CELL), int(v // _CELL)
            i = row * _COLUMNS + column
            u, v = u - column * _CELL, v - row * _CELL
            off = math.hypot(u - (_CELL - 1) / 2, v - (_CELL - 1) / 2)
            if not (0 <= i < len(cells) and off < _NEAR * _FACE and _SIZES[0] < side / _FACE < _SIZES[1]):
                continue
            inverse, corner, scale = back[i]
            centre = (inverse @ (u, v, 1.0) + 0.5) / scale - 0.5 + corner
            box = boxes[owners[i]]
            half = side / _FACE * max(box[2] - box[0], box[3] - box[1]) / 2
            faces.append((*(centre - half), *(centre + half), score))
        return np.array(faces, np.float64).reshape(-1, 5)


def _upright(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Return `turn_picture(picture, turn)` as an array of its own; OpenCV makes it ten times as fast."""
    turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return picture if turn == 0 else np.asarray(cv2.rotate(picture, turns[turn - 1]), np.uint8)


def _patch(
    rgb: NDArray[np.uint8], box: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Return the part of a picture that a proposal's cells show, shrunk if it is larger than they are.

    Returns:
        The patch, its upper left corner (2,) in the picture, and its scale (2,) along both axes.
    """
    side = max(box[2] - box[0], box[3] - box[1], 1.0)
    middle, reach = (box[:2] + box[2:]) / 2, math.sqrt(0.5) * _CELL * side / _FACE
    height, width = rgb.shape[:2]
    left, top = np.clip(np.floor(middle - reach), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(middle + reach) + 1, (left + 1, top + 1), (width, height)).astype(int)
    patch = rgb[top:bottom, left:right]
    scale = min(1.0, _FACE / side)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    if scale < 1:
        patch = np.asarray(cv2.resize(patch, size, interpolation=cv2.INTER_AREA))
    return patch, np.array([left, top], np.float64), np.array(size) / (right - left, bottom - top)


def _turned(
    box: NDArray[np.float64], corner: NDArray[np.float64], scale: NDArray[np.float64], degrees: float
) -> NDArray[np.float64]:
    """Return the affine map (2, 3) from a patch to a cell, turned counter-clockwise about the middle."""
    middle = ((box[:2] + box[2:]) / 2 - corner + 0.5) * scale - 0.5
    side = max(box[2] - box[0], box[3] - box[1], 1.0) * float(scale.mean())
    to_cell = np.asarray(cv2.getRotationMatrix2D((middle[0], middle[1]), degrees, _FACE / side), np.float64)
    to_cell[:, 2] += (_CELL - 1) / 2 - middle
    return to_cell


def _mosaic(cells: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the cells side by side, in rows of `_COLUMNS`; what is left of the last row is black."""
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // _COLUMNS)
    mosaic = np.zeros((rows * _CELL, columns * _CELL, 3), np.uint8)
    for i, cell in enumerate(cells):
        row, column = divmod(i, _COLUMNS)
        mosaic[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL] = cell
    return mosaic


def _without_doubles(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best box and score (n, 5) of each face."""
    if not len(faces):
        return faces
    boxes = np.column_stack((faces[:, :2], faces[:, 2:4] - faces[:, :2]))
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), faces[:, 4].tolist(), 0.0, OVERLAP)
    return faces[np.asarray(kept, np.intp).ravel()]


def _are_open(faces: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n,) bool: whether the mask does not cover each face (n, 4 or more)."""
    return np.array([len(unredacted(face[None, :4], mask)) > 0 for face in faces], bool)
