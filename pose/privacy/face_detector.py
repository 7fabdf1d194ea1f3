"""A second look at the picture itself, for faces that no person's head told of.

OpenCV's cascades for frontal faces and profiles (Viola and Jones, "Rapid object detection using a boosted
cascade of simple features", CVPR 2001) know nothing of bodies and depth, so what the networks miss they may
find. Their threshold is low: a false alarm costs a covered patch of a wall. They look at a smaller copy of
the picture and find faces from about `SMALLEST` of its longer side on, upright ones only.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import FaceDetectorMissing
from pose.geometry.orientation import turn_picture, unturn_points
from pose.geometry.view import View
from pose.lifting.anatomy import MAX_STATURE, Build
from pose.privacy.place_head import head_radius
from pose.privacy.region import HeadRegion, PlacedBy, disc, hull

_LONG_SIDE: Final = 640  # pixels of the copy
_SMALLEST: Final = 24  # pixels of a face in it
SMALLEST: Final = _SMALLEST / _LONG_SIDE  # of the picture's longer side: 54 pixels of 1440

_FRONTAL, _PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
_STEP: Final = 1.2  # from one size of faces to the next
# How many windows beside each other must say "face". One is the least that OpenCV can be asked for; profiles
# would then be seen in many a fold and corner.
_AGREEING: Final = {_FRONTAL: 1, _PROFILE: 2}

_HEAD: Final = 0.72  # of a face's box: the radius of the head; its circle holds the whole box
_INNER: Final = 0.5  # of a face's box: what tells whether it is covered,
_COVERED: Final = 0.9  # when so much of it is
_WITHIN: Final = 0.5  # of a face's box: the radius of the circle within it

_LARGEST: Final = head_radius(Build(MAX_STATURE))  # metres; nobody's head is larger
_NEAREST: Final = 0.05  # of the depths in a box so many are nearer than what is seen: stray ones
_KNOWN: Final = 0.5  # of a box that must have a depth to tell how large a thing is

_own = threading.local()  # a cascade works for one thread at a time


def find_faces(rgb: NDArray[np.uint8], turns: int | None = None) -> NDArray[np.float64]:
    """Boxes (n, 4) of what looks like a face: x0, y0, x1, y1 in pixels of the picture, sorted.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        turns: quarter turns clockwise that bring it upright; None where that is not known: all are tried.

    Raises:
        FaceDetectorMissing: this OpenCV has no cascades.
    """
    cascades = load_cascades()
    height, width = rgb.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    copy = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    found: list[NDArray[np.float64]] = []
    for turn in range(4) if turns is None else (turns % 4,):
        upright = np.ascontiguousarray(turn_picture(copy, turn))
        boxes = _detect(cascades, upright).reshape(-1, 2, 2)
        corners = (unturn_points(boxes, turn, *size) + 0.5) / (size[0] / width, size[1] / height) - 0.5
        found.append(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    faces = np.concatenate(found)
    return np.asarray(np.unique(faces, axis=0))


def uncovered(faces: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Those faces (n, 4) whose middle is not covered by the mask (H, W)."""
    return faces[[not _is_covered(face, mask) for face in faces]] if len(faces) else faces


def head_of(face: NDArray[np.float64], picture_size: tuple[int, int], view: View | None = None) -> HeadRegion:
    """What must be covered around a face's box (4,).

    Where the depth map shows that the box is larger than any head (a wall, a cloth), no more than a head is
    covered in its middle; but at least the circle within the box, since it may be a poster of a face.

    Args:
        view: the picture and its depth map; None where that is not known.
    """
    centre = np.array([face[0] + face[2], face[1] + face[3]]) / 2
    side = float(max(face[2] - face[0], face[3] - face[1]))
    metres = None if view is None else _metres(face, view)
    radius = side * (_HEAD if metres is None else float(np.clip(_LARGEST / metres, _WITHIN, _HEAD)))
    place = (float(centre[0]), float(centre[1]))
    return HeadRegion(place, radius, hull(disc(centre, radius), picture_size), PlacedBy.FACE_DETECTOR)


def _metres(face: NDArray[np.float64], view: View) -> float | None:
    """Side of a face's box at the nearest depth in it; None where the depth map does not show it."""
    at = view.to_depth(face.reshape(2, 2))
    (left, top), (right, bottom) = np.rint(np.maximum(np.sort(at, axis=0), 0)).astype(int)
    depth = view.depthmap.depth[top : bottom + 1, left : right + 1]
    known = depth[depth > 0]
    if known.size == 0 or known.size < _KNOWN * depth.size:
        return None
    return float(np.ptp(at, axis=0).max() / view.depthmap.intrinsics.fx * np.quantile(known, _NEAREST))


def load_cascades() -> tuple[cv2.CascadeClassifier, cv2.CascadeClassifier]:
    """For frontal faces and for profiles that look to the left, of this thread.

    Raises:
        FaceDetectorMissing: this OpenCV has none: it is version 5, or was packed without them.
    """
    cascades: tuple[cv2.CascadeClassifier, cv2.CascadeClassifier] | None = getattr(_own, "cascades", None)
    if cascades is None:
        cascades = _own.cascades = (_load(_FRONTAL), _load(_PROFILE))
    return cascades


def _load(name: str) -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if not hasattr(cv2, "CascadeClassifier") or folder is None or not (Path(folder) / name).is_file():
        raise FaceDetectorMissing(
            f"OpenCV {cv2.__version__} has no {name}, without which no picture is published: "
            "install opencv-python-headless 4"
        )
    cascade = cv2.CascadeClassifier(str(Path(folder) / name))
    if cascade.empty():
        raise FaceDetectorMissing(f"OpenCV {cv2.__version__} cannot read its {name}")
    return cascade


def _detect(
    cascades: tuple[cv2.CascadeClassifier, cv2.CascadeClassifier], grey: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Boxes (n, 4) in an upright picture."""
    frontal, profile = cascades
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    found = []
    for cascade, name, picture in (
        (frontal, _FRONTAL, grey),
        (profile, _PROFILE, grey),
        (profile, _PROFILE, mirrored),
    ):
        answer = cascade.detectMultiScale(picture, _STEP, _AGREEING[name], 0, (_SMALLEST, _SMALLEST))
        boxes = np.asarray(answer, np.float64).reshape(
            -1, 4
        )  # x, y, width, height; it is () if there are none
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], axis=1)
        if picture is mirrored:
            corners = np.column_stack(
                (
                    grey.shape[1] - 1 - corners[:, 2],
                    corners[:, 1],
                    grey.shape[1] - 1 - corners[:, 0],
                    corners[:, 3],
                )
            )
        found.append(corners)
    return np.concatenate(found)


def _is_covered(face: NDArray[np.float64], mask: NDArray[np.bool_]) -> bool:
    centre, half = (face[:2] + face[2:]) / 2, _INNER * (face[2:] - face[:2]) / 2
    left, top = np.maximum(np.rint(centre - half), 0).astype(int)
    right, bottom = np.rint(centre + half).astype(int) + 1
    inner = mask[top : max(bottom, 0), left : max(right, 0)]
    return inner.size == 0 or float(inner.mean()) >= _COVERED
