"""The estimators of this process: loaded once, in the process that uses them.

`pose` is imported in here only when it is needed. The parent of a prefork pool, `inspect`, `flower` and
`enqueue` never need it, and a parent that never touched torch forks children that may use a GPU.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Final

from worker.config.logs import get_logger
from worker.config.settings import Settings

if TYPE_CHECKING:
    from pose import Estimator
    from pose.estimators.loading import EstimatorOptions

log = get_logger(__name__)
BOTH: Final = "both"
_lock = threading.Lock()
_loaded: dict[tuple[int, Settings], tuple[Estimator, ...]] = {}


def get_estimator(settings: Settings) -> Estimator:
    """The estimator that the settings name.

    Raises:
        pose.PoseError: its weights cannot be used, or the device that was demanded is not there.
        ValueError: there is no estimator of that name, or it has no such options.
    """
    return _estimators(settings)[0]


def get_comparison_estimator(settings: Settings) -> Estimator | None:
    """The one that it is compared with, where the settings want both.

    Raises: as `get_estimator`.
    """
    return _estimators(settings)[1] if settings.model == BOTH else None


def _estimators(settings: Settings) -> tuple[Estimator, ...]:
    key = (os.getpid(), settings)
    with _lock:  # the threads pool asks several times at once
        if key not in _loaded:
            _loaded[key] = _with_fallback(settings)
            for one in _loaded[key]:
                log.info("model_loaded", model=one.name, version=one.version)
        return _loaded[key]


def _with_fallback(settings: Settings) -> tuple[Estimator, ...]:
    """Load the estimators, each with smaller batches or the CPU for a GPU whose memory is full."""
    from worker.models.out_of_memory import OutOfMemoryFallback

    on_cpu = functools.cache(lambda: _load(settings, "cpu"))

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
    }
    if settings.model == BOTH:
        return pose.load_pair(settings.model, device, **options)
    return (pose.load_estimator(settings.model, device, **options),)


def limit_threads(settings: Settings, processes: int) -> int:
    """Share the cores out among the processes; each of them would take all. Gives the number of threads."""
    threads = settings.torch_threads or max(1, len(os.sched_getaffinity(0)) // max(1, processes))
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    return threads
