"""What a face detector is, and what is done with the faces that it finds in a picture.

A face detector uses neither bodies nor depth, so it may find the faces that the pose networks miss: of people
whom the depth map does not show, on posters and at the border. `pose.privacy.loading` opens one by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.view import View
from pose.privacy.region import HeadRegion, PlacedBy, disc, hull

# A face is redacted if at least this share of the middle of its box is masked.
_MIDDLE: Final = 0.5
_MIN_MASKED: Final = 0.9

_LARGEST_FACE: Final = 0.35  # metres; the side of a box around any face with its hair and chin
_MIN_WITH_DEPTH: Final = 0.5  # share of a box that must have depth to contradict a face
_BEHIND: Final = 0.06  # metres; what is beside a head lies farther behind it than this,
_MIN_BEHIND: Final = 0.35  # in at least this share of the ring around the box
_RING: Final = 0.5  # width of the ring, as a share of the box


class FaceDetector(ABC):
    """Finds faces in a picture. A subclass sets `name` and `version` and defines `find`.

    Attributes:
        name, version: part of every result.
        head_radius: of the region around a face, as a share of the longer side of its box.
        needs_depth: whether a face counts only where the depth map does not contradict it.
        thread_safe: whether `find` may be called by several threads at a time.
        runtime: what runs the network, such as "opencv 4.14.0"; None if it is not told.
    """

    name: str
    version: str
    head_radius: float
    needs_depth: bool = False
    thread_safe: bool = False
    runtime: str | None = None

    @abstractmethod
    def find(
        self, rgb: NDArray[np.uint8], turns: int | None = None, mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return boxes (n, 4) of what looks like a face: x0, y0, x1, y1 in pixels of the picture.

        Args:
            rgb: (H, W, 3) uint8 RGB.
            turns: quarter turns clockwise that bring the picture upright; if None, all four are tried, which
                takes four times as long.
            mask: (H, W) bool. Faces that it covers are not returned.
        """


def find_uncovered(
    detector: FaceDetector,
    rgb: NDArray[np.uint8],
    view: View,
    mask: NDArray[np.bool_],
    turns: int | None = None,
) -> NDArray[np.float64]:
    """Return the boxes (n, 4) of faces that the mask (H, W) does not cover, as far as they count.

    Args:
        detector, rgb, mask, turns: see `FaceDetector.find`.
        view: the picture, by its camera, and its depth map.
    """
    faces = detector.find(rgb, turns, mask)
    if detector.needs_depth:
        faces = faces[[not is_contradicted(face, view) for face in faces]] if len(faces) else faces
    return faces


def unredacted(faces: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return those faces (n, 4) whose middle is not covered by the mask (H, W).

    >>> mask = np.zeros((40, 40), bool)
    >>> mask[:20, :20] = True
    >>> unredacted(np.array([(2.0, 2, 18, 18), (22, 22, 38, 38)]), mask)
    array([[22., 22., 38., 38.]])
    """
    return faces[[not _is_redacted(face, mask) for face in faces]] if len(faces) else faces


def head_of_face(face: NDArray[np.float64], view: View, share: float) -> HeadRegion:
    """Return the region of the head around a face's box (4,) in pixels of the picture.

    Args:
        face: x0, y0, x1, y1.
        view: the picture, by its camera, and its depth map.
        share: radius of the region, as a share of the longer side of the box.
    """
    centre = np.array([face[0] + face[2], face[1] + face[3]]) / 2
    radius = share * float(max(face[2] - face[0], face[3] - face[1]))
    outline = hull(disc(centre, radius), view.picture_size)
    return HeadRegion((float(centre[0]), float(centre[1])), radius, outline, PlacedBy.FACE_DETECTOR)


def is_contradicted(face: NDArray[np.float64], view: View) -> bool:
    """Return whether the depth map shows that a box (4,) holds no head.

    The box is larger than any face; or what surrounds it on all sides is as near as its middle: it lies on a
    wall, on a floor or on the trunk of a body. A face on a poster is contradicted too.
    """
    at = view.to_depth(face.reshape(2, 2))
    low, high = np.sort(at, axis=0)
    depth = _depths(view, low, high)
    known = depth[depth > 0]
    if known.size == 0 or known.size < _MIN_WITH_DEPTH * depth.size:
        return False
    surface = float(np.median(known))
    if float((high - low).max()) / view.depthmap.intrinsics.fx * surface > _LARGEST_FACE:
        return True
    margin = _RING * (high - low)
    around = _depths(view, low - margin, high + margin)
    ring_size, ring_known = around.size - depth.size, int((around > 0).sum()) - known.size
    if ring_known < _MIN_WITH_DEPTH * ring_size:
        return False  # the picture or the measured depth ends here
    behind = int((around > surface + _BEHIND).sum()) - int((known > surface + _BEHIND).sum())
    return behind < _MIN_BEHIND * ring_known


def _depths(view: View, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the depths (h, w) between two corners in pixels of the depth map, as far as it reaches."""
    left, top = np.rint(np.maximum(low, 0)).astype(int)
    right, bottom = np.rint(np.maximum(high, -1)).astype(int)
    return np.asarray(view.depthmap.depth[top : bottom + 1, left : right + 1])


def _is_redacted(face: NDArray[np.float64], mask: NDArray[np.bool_]) -> bool:
    centre, half = (face[:2] + face[2:]) / 2, _MIDDLE * (face[2:] - face[:2]) / 2
    left, top = np.maximum(np.rint(centre - half), 0).astype(int)
    right, bottom = np.rint(centre + half).astype(int) + 1
    middle = mask[top : max(bottom, 0), left : max(right, 0)]
    return middle.size == 0 or float(middle.mean()) >= _MIN_MASKED
