"""The estimator of this process: loaded once, in the process that uses it.

`pose` is imported in here only when it is needed. The parent of a prefork pool, `inspect`, `flower` and
`enqueue` never need it, and a parent that never touched torch forks children that may use a GPU.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from worker.logs import get_logger
from worker.settings import Settings

if TYPE_CHECKING:
    from pose import Estimator

log = get_logger(__name__)
_lock = threading.Lock()
_loaded: dict[tuple[int, str, str], Estimator] = {}


def get_estimator(settings: Settings) -> Estimator:
    """The estimator that the settings name.

    Raises:
        pose.PoseError: its weights cannot be used, or the device that was demanded is not there.
        ValueError: there is no estimator of that name.
    """
    key = (os.getpid(), settings.model, settings.device)
    with _lock:  # the threads pool asks several times at once
        if key not in _loaded:
            import pose

            _loaded[key] = pose.load_estimator(settings.model, settings.device)
            log.info("model_loaded", model=_loaded[key].name, version=_loaded[key].version)
        return _loaded[key]


def limit_threads(settings: Settings, processes: int) -> int:
    """Share the cores out among the processes; each of them would take all. Gives the number of threads."""
    threads = settings.torch_threads or max(1, len(os.sched_getaffinity(0)) // max(1, processes))
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    return threads
