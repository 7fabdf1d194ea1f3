"""Load a face detector by its name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pose.estimators.loading import choose_runtime
from pose.privacy.cascades import Cascades
from pose.privacy.face_detector import FaceDetector
from pose.weights.registry import FACE_DETECTOR

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

HAAR: Final = Cascades.name
FACE_DETECTORS: Final = ("auto", FACE_DETECTOR, HAAR)


def load_face_detector(
    name: str = "auto", store: WeightsStore | None = None, runtime: str = "auto"
) -> FaceDetector:
    """Load a face detector. Nothing is downloaded.

    Args:
        name: "yunet"; "haar", OpenCV's cascades; or "auto": yunet if its weights are stored, else haar.
        store: the stored weights; None takes those in the user's cache folder.
        runtime: of yunet, which runs on the CPU: "openvino", "torch" (then OpenCV runs it), or "auto":
            openvino if it is installed.

    Raises:
        ValueError: there is no such face detector or runtime.
        RuntimeUnavailable: openvino is asked for and not installed.
        InvalidWeights: yunet's weights are missing or damaged.
        FaceDetectorMissing: this OpenCV lacks what the face detector needs.
    """
    if name not in FACE_DETECTORS:
        raise ValueError(f"unknown face detector {name!r}, expected one of {', '.join(FACE_DETECTORS)}")
    runtime = choose_runtime(runtime, "cpu")
    if name == HAAR:
        return Cascades()
    from pose.weights.store import WeightsStore  # it imports torch

    store = WeightsStore() if store is None else store
    if name == "auto" and not store.has(FACE_DETECTOR):
        return Cascades()
    path = store.path(FACE_DETECTOR)
    written = path.stat().st_mtime_ns if path.is_file() else 0
    return _yunet(store.folder, written, runtime)


@lru_cache(maxsize=1)
def _yunet(folder: Path, written: int, runtime: str) -> FaceDetector:
    """Load YuNet once, as long as its file is not written again."""
    from pose.privacy.yunet import YuNet
    from pose.weights.store import WeightsStore

    return YuNet(WeightsStore(folder).load(FACE_DETECTOR), runtime=runtime)
