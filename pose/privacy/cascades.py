"""OpenCV's cascades for frontal faces and profiles: the face detector that needs no weights.

They are those of Viola and Jones ("Rapid object detection using a boosted cascade of simple features", CVPR
2001). They search a smaller copy of the picture for upright faces from 24 of its 640 pixels on: 54 pixels in
a picture of 1440. Their threshold is low, so walls and sleeves are often taken for faces: what they find
counts only where the depth map does not contradict it.
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
from pose.privacy.face_detector import FaceDetector, unredacted

_LONG_SIDE: Final = 640  # pixels of the copy
_MIN_FACE: Final = 24  # pixels of a face in the copy

_FRONTAL, _PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
_SCALE_FACTOR: Final = 1.2  # from one size of faces to the next
# How many overlapping windows must be taken for a face. 1 is the least that OpenCV allows; with it, profiles
# would be detected in many folds and corners.
_MIN_NEIGHBOURS: Final = {_FRONTAL: 1, _PROFILE: 2}

_thread = threading.local()  # a cascade must not be used by two threads at a time


class Cascades(FaceDetector):
    """OpenCV's Haar cascades.

    Raises:
        FaceDetectorMissing: this OpenCV has none.
    """

    name = "haar"
    version = f"opencv-{cv2.__version__}"
    head_radius = 0.72  # the region then holds the whole box
    needs_depth = True
    thread_safe = True

    def __init__(self) -> None:
        load_cascades()

    def find(
        self, rgb: NDArray[np.uint8], turns: int | None = None, mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return sorted boxes (n, 4). See `FaceDetector.find`."""
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
        faces = np.asarray(np.unique(np.concatenate(found), axis=0))
        return faces if mask is None else unredacted(faces, mask)


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
