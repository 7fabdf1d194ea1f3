"""YuNet's network, run by OpenCV or by OpenVINO: a picture in, boxes and scores out."""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import FaceDetectorMissing, InvalidWeights

OVERLAP: Final = 0.3  # of two boxes of one face: intersection over union
_STRIDES: Final = (8, 16, 32)  # pixels between the cells of the three outputs
_MOST: Final = 5000  # boxes that are compared with each other, as in OpenCV


class Network(Protocol):
    """Used by several threads."""

    runtime: str

    def detect(self, rgb: NDArray[np.uint8], min_score: float) -> NDArray[np.float64]:
        """Return boxes and scores (n, 5) of a picture (H, W, 3): x, y, width, height, score."""
        ...


class WithOpenCV:
    """`cv2.FaceDetectorYN`.

    Args:
        model: the bytes of the ONNX file.

    Raises:
        FaceDetectorMissing: this OpenCV has no FaceDetectorYN.
        InvalidWeights: this OpenCV cannot read them.
    """

    def __init__(self, model: bytes) -> None:
        self.runtime = f"opencv {cv2.__version__}"
        self._model = np.frombuffer(model, np.uint8)
        self._thread = threading.local()  # a network must not be used by two threads at a time
        self._network()

    def detect(self, rgb: NDArray[np.uint8], min_score: float) -> NDArray[np.float64]:
        """See `Network.detect`."""
        network = self._network()
        network.setInputSize((rgb.shape[1], rgb.shape[0]))
        network.setScoreThreshold(min_score)
        _, found = network.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        if found is None:
            return np.empty((0, 5))
        return np.asarray(found[:, [0, 1, 2, 3, 14]], np.float64)

    def _network(self) -> cv2.FaceDetectorYN:
        """Return this thread's network."""
        network: cv2.FaceDetectorYN | None = getattr(self._thread, "network", None)
        if network is None:
            if not hasattr(cv2, "FaceDetectorYN"):
                raise FaceDetectorMissing(
                    f"OpenCV {cv2.__version__} has no FaceDetectorYN: install opencv-python-headless 4"
                )
            try:
                network = cv2.FaceDetectorYN.create(
                    "onnx", self._model, np.empty(0, np.uint8), (32, 32), nms_threshold=OVERLAP
                )
            except cv2.error:
                problem = f"OpenCV {cv2.__version__} cannot read the network of yunet"
                raise InvalidWeights(f"{problem}; install the version in requirements.lock") from None
            self._thread.network = network
        return network


class WithOpenVINO:
    """The same with OpenVINO, in half of the time.

    Padding, scores, boxes and the choice among them are those of OpenCV's face_detect.cpp. Only pictures with
    a side of at most 32 pixels give other boxes.

    Args:
        model: the bytes of the ONNX file.

    Raises:
        InvalidWeights: this OpenVINO cannot read them.
    """

    def __init__(self, model: bytes) -> None:
        from pose.estimators.runtime import compile_onnx, runtime_version  # it imports torch

        self.runtime = runtime_version("openvino")
        try:
            self._compiled = compile_onnx(model)
        except RuntimeError:
            raise InvalidWeights(
                f"{self.runtime} cannot read the network of yunet: choose the runtime torch"
            ) from None
        self._thread = threading.local()  # a request must not be used by two threads at a time

    def detect(self, rgb: NDArray[np.uint8], min_score: float) -> NDArray[np.float64]:
        """See `Network.detect`."""
        height, width = rgb.shape[:2]
        rows, columns = -(-height // 32) * 32, -(-width // 32) * 32
        padded = np.zeros((1, 3, rows, columns), np.float32)
        padded[0, :, :height, :width] = rgb[..., ::-1].transpose(2, 0, 1)  # BGR, 0 to 255
        answers = self._request().infer([padded], share_inputs=True)
        found = np.concatenate([_decode(answers, s, columns // s, min_score) for s in _STRIDES])
        if len(found) < 2:
            return found
        whole = np.trunc(found[:, :4])  # OpenCV compares boxes in whole pixels
        kept = cv2.dnn.NMSBoxes(whole.tolist(), found[:, 4].tolist(), min_score, OVERLAP, top_k=_MOST)
        return found[np.asarray(kept, np.intp).ravel()]

    def _request(self) -> Any:
        """Return this thread's inference request."""
        if not hasattr(self._thread, "request"):
            self._thread.request = self._compiled.create_infer_request()
        return self._thread.request


def _decode(answers: Any, stride: int, columns: int, min_score: float) -> NDArray[np.float64]:
    """Return boxes and scores (n, 5) of the cells of one stride, row by row."""
    class_score, object_score = (
        np.clip(answers[f"{name}_{stride}"][0, :, 0], 0, 1) for name in ("cls", "obj")
    )
    scores = np.sqrt(class_score * object_score)
    cells = np.flatnonzero(scores >= min_score)
    box = answers[f"bbox_{stride}"][0, cells]  # (n, 4)
    middle = (np.stack([cells % columns, cells // columns], axis=1) + box[:, :2]) * stride
    size = np.exp(box[:, 2:]) * stride
    return np.column_stack([middle - size / 2, size, scores[cells]]).astype(np.float64)
