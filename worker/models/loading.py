"""The estimators and the face detector of a process, loaded once.

The functions import `pose` only when they are called: `inspect`, `flower` and `enqueue` do not need it. The
parent of the worker's processes imports it (`worker.models.memory`) and uses nothing of it, so its children
can use a GPU.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.counters import count

if TYPE_CHECKING:
    from pose import Estimator, FaceDetector
    from pose.estimators.loading import EstimatorOptions

log = get_logger(__name__)
BOTH: Final = "both"
UNKNOWN: Final = "unknown"
_lock = threading.Lock()
_loaded: dict[tuple[int, Settings], tuple[Estimator, ...]] = {}
_face_detectors: dict[tuple[int, Settings], FaceDetector] = {}


def get_estimator(settings: Settings) -> Estimator:
    """Return the estimator that the settings name.

    Raises:
        pose.PoseError: Its weights cannot be used, or the device is not there.
        ValueError: There is no estimator of this name, or it does not have these options.
    """
    return _estimators(settings)[0]


def get_comparison_estimator(settings: Settings) -> Estimator | None:
    """Return the estimator that is compared with the first one if `MODEL` is `both`, else None.

    Raises: as `get_estimator`.
    """
    return _estimators(settings)[1] if settings.model == BOTH else None


def get_face_detector(settings: Settings) -> FaceDetector:
    """Return the face detector that the settings name.

    Raises:
        pose.PoseError: Its weights cannot be used, or this OpenCV lacks it.
    """
    import pose
    from worker.models.weights import open_store

    key = (os.getpid(), settings)
    with _lock:
        if key not in _face_detectors:
            detector = pose.load_face_detector(settings.face_detector, open_store(settings), settings.runtime)
            _face_detectors[key] = detector
            told = {
                "face_detector": detector.name,
                "version": detector.version,
                "runtime": detector.runtime,
            }
            if settings.face_detector == "auto" and detector.name == "haar":
                log.warning("face_detector_loaded", **told, better="run: pose weights pull yunet")
            else:
                log.info("face_detector_loaded", **told)
        return _face_detectors[key]


def _estimators(settings: Settings) -> tuple[Estimator, ...]:
    key = (os.getpid(), settings)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load_with_fallback(settings)
            for estimator in _loaded[key]:
                log.info(
                    "model_loaded",
                    model=estimator.name,
                    version=estimator.version,
                    runtime=estimator.runtime,
                )
        return _loaded[key]


def _load_with_fallback(settings: Settings) -> tuple[Estimator, ...]:
    """Load the estimators, each with smaller batches or the CPU for a GPU whose memory is full."""
    from worker.models.out_of_memory import OutOfMemoryFallback

    # A CPU has no fp16, which may be asked for.
    on_cpu = functools.cache(lambda: _load(settings.model_copy(update={"precision": "auto"}), "cpu"))

    def fallback(i: int, estimator: Estimator) -> OutOfMemoryFallback:
        return OutOfMemoryFallback(estimator, (lambda: on_cpu()[i]) if settings.oom_to_cpu else None)

    return tuple(fallback(i, one) for i, one in enumerate(_load(settings, settings.device)))


def _load(settings: Settings, device: str) -> tuple[Estimator, ...]:
    import pose
    from worker.models.weights import open_store

    options: EstimatorOptions = {
        "store": open_store(settings),
        "detector": settings.detector,
        "flip_test": settings.flip_test,
        "batch_size": settings.batch_size,
        "runtime": settings.runtime,
        "precision": settings.precision,
        "detect": settings.detect,
    }
    if settings.model == BOTH:
        return pose.load_pair(settings.model, device, **options)
    return (pose.load_estimator(settings.model, device, **options),)


def count_models(settings: Settings) -> None:
    """Let the metrics tell which models this process has loaded, and where they run."""
    from pose.estimators.loading import choose_device

    device = choose_device(settings.device)
    for each in _estimators(settings):
        count("pose_model_info", "pose", each.name, each.version, each.runtime or UNKNOWN, device)
    faces = get_face_detector(settings)
    count("pose_model_info", "faces", faces.name, faces.version, faces.runtime or UNKNOWN, "cpu")


def limit_threads(settings: Settings, processes: int) -> int:
    """Give this process its share of the cores, and return its number of threads.

    Without this, torch, OpenCV and the analysis use all cores in each process.
    """
    threads = settings.torch_threads or max(1, len(os.sched_getaffinity(0)) // max(1, processes))
    import torch

    from pose.threads import set_threads

    torch.set_num_threads(threads)
    set_threads(threads)
    return threads
