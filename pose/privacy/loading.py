"""Load a face detector by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pose.privacy.cascades import Cascades
from pose.privacy.face_detector import FaceDetector
from pose.weights.registry import FACE_DETECTOR

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

HAAR: Final = Cascades.name
FACE_DETECTORS: Final = ("auto", FACE_DETECTOR, HAAR)


def load_face_detector(name: str = "auto", store: WeightsStore | None = None) -> FaceDetector:
    """Load a face detector. Nothing is downloaded.

    Args:
        name: "yunet"; "haar", OpenCV's cascades; or "auto": yunet if its weights are stored, else haar.
        store: the stored weights; None takes those in the user's cache folder.

    Raises:
        ValueError: there is no such face detector.
        InvalidWeights: yunet's weights are missing or damaged.
        FaceDetectorMissing: this OpenCV lacks what the face detector needs.
    """
    if name not in FACE_DETECTORS:
        raise ValueError(f"unknown face detector {name!r}, expected one of {', '.join(FACE_DETECTORS)}")
    if name == HAAR:
        return Cascades()
    # These import torch.
    from pose.privacy.yunet import YuNet
    from pose.weights.store import WeightsStore

    store = WeightsStore() if store is None else store
    if name == "auto" and not store.has(FACE_DETECTOR):
        return Cascades()
    return YuNet(store.load(FACE_DETECTOR))
