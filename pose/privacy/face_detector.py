"""Detect faces in the picture itself, to redact those that belong to no detected person.

OpenCV's cascades for frontal faces and profiles (Viola and Jones, "Rapid object detection using a boosted
cascade of simple features", CVPR 2001) use neither bodies nor depth, so they may find what the networks miss.
Their threshold is low: a false alarm costs a redacted patch of a wall. They search a smaller copy of the
picture, for upright faces from 24 of its 640 pixels on: 54 pixels in a picture of 1440.
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
_MIN_FACE: Final = 24  # pixels of a face in the copy

_FRONTAL, _PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
_SCALE_FACTOR: Final = 1.2  # from one size of faces to the next
# How many overlapping windows must be taken for a face. 1 is the least that OpenCV allows; with it, profiles
# would be detected in many folds and corners.
_MIN_NEIGHBOURS: Final = {_FRONTAL: 1, _PROFILE: 2}

# As shares of the longer side of a face's box.
_HEAD_RADIUS: Final = 0.72  # the circle then holds the whole box
_MIN_RADIUS: Final = 0.5  # the circle within the box

# A face is redacted if at least this share of the middle of its box is masked.
_MIDDLE: Final = 0.5
_MIN_MASKED: Final = 0.9

_LARGEST_HEAD: Final = head_radius(Build(MAX_STATURE))  # metres
_STRAY_DEPTHS: Final = 0.05  # share of the depths in a box that may be noise in front of what it shows
_MIN_WITH_DEPTH: Final = 0.5  # share of a box that must have depth to tell its size in metres

_thread = threading.local()  # a cascade must not be used by two threads at a time


def find_faces(rgb: NDArray[np.uint8], turns: int | None = None) -> NDArray[np.float64]:
    """Return sorted boxes (n, 4) of what looks like a face: x0, y0, x1, y1 in pixels of the picture.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        turns: quarter turns clockwise that bring the picture upright; if None, all four are tried.

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
    return np.asarray(np.unique(np.concatenate(found), axis=0))


def unredacted(faces: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return those faces (n, 4) whose middle is not covered by the mask (H, W).

    >>> mask = np.zeros((40, 40), bool)
    >>> mask[:20, :20] = True
    >>> unredacted(np.array([(2.0, 2, 18, 18), (22, 22, 38, 38)]), mask)
    array([[22., 22., 38., 38.]])
    """
    return faces[[not _is_redacted(face, mask) for face in faces]] if len(faces) else faces


def head_of_face(face: NDArray[np.float64], view: View) -> HeadRegion:
    """Return the region of the head around a face's box (4,) in pixels of the picture.

    If the depth map shows that the box is larger than any head, it is a false alarm on a wall or a cloth.
    Then the region is a head in the middle of the box, but at least the circle within the box: it may be a
    face on a poster.
    """
    centre = np.array([face[0] + face[2], face[1] + face[3]]) / 2
    side = float(max(face[2] - face[0], face[3] - face[1]))
    metres = _side_in_metres(face, view)
    share = _HEAD_RADIUS
    if metres is not None:
        share = float(np.clip(_LARGEST_HEAD / metres, _MIN_RADIUS, _HEAD_RADIUS))
    radius = side * share
    outline = hull(disc(centre, radius), view.picture_size)
    return HeadRegion((float(centre[0]), float(centre[1])), radius, outline, PlacedBy.FACE_DETECTOR)


def _side_in_metres(face: NDArray[np.float64], view: View) -> float | None:
    """Return the longer side of a face's box at the nearest depth in it; None if it has too little depth."""
    at = view.to_depth(face.reshape(2, 2))
    (left, top), (right, bottom) = np.rint(np.maximum(np.sort(at, axis=0), 0)).astype(int)
    depth = view.depthmap.depth[top : bottom + 1, left : right + 1]
    known = depth[depth > 0]
    if known.size == 0 or known.size < _MIN_WITH_DEPTH * depth.size:
        return None
    return float(np.ptp(at, axis=0).max() / view.depthmap.intrinsics.fx * np.quantile(known, _STRAY_DEPTHS))


def load_cascades() -> tuple[cv2.CascadeClassifier, cv2.CascadeClassifier]:
    """Return this thread's cascades for frontal faces and for profiles that look to the left.

    Raises:
        FaceDetectorMissing: this OpenCV has none: it is version 5, or was packed without them.
    """
    cascades: tuple[cv2.CascadeClassifier, cv2.CascadeClassifier] | None
    cascades = getattr(_thread, "cascades", None)
    if cascades is None:
        cascades = _thread.cascades = (_load(_FRONTAL), _load(_PROFILE))
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
    """Return boxes (n, 4) in an upright picture (H, W)."""
    frontal, profile = cascades
    mirrored = _boxes(profile, _PROFILE, np.ascontiguousarray(grey[:, ::-1]))
    mirrored[:, [0, 2]] = grey.shape[1] - 1 - mirrored[:, [2, 0]]
    return np.concatenate([_boxes(frontal, _FRONTAL, grey), _boxes(profile, _PROFILE, grey), mirrored])


def _boxes(cascade: cv2.CascadeClassifier, name: str, grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return boxes (n, 4) that one cascade detects: x0, y0, x1, y1."""
    found = cascade.detectMultiScale(grey, _SCALE_FACTOR, _MIN_NEIGHBOURS[name], 0, (_MIN_FACE, _MIN_FACE))
    boxes = np.asarray(found, np.float64).reshape(-1, 4)  # x, y, width, height; OpenCV returns () for none
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], axis=1)


def _is_redacted(face: NDArray[np.float64], mask: NDArray[np.bool_]) -> bool:
    centre, half = (face[:2] + face[2:]) / 2, _MIDDLE * (face[2:] - face[:2]) / 2
    left, top = np.maximum(np.rint(centre - half), 0).astype(int)
    right, bottom = np.rint(centre + half).astype(int) + 1
    middle = mask[top : max(bottom, 0), left : max(right, 0)]
    return middle.size == 0 or float(middle.mean()) >= _MIN_MASKED
