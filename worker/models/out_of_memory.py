"""An estimator that uses smaller batches, or the CPU, when the GPU is out of memory.

Import this module only where a scan is processed: it imports `pose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pose import Estimator, Frame
from pose.estimators.base import Detections
from worker.config.logs import get_logger

log = get_logger(__name__)


class OutOfMemory(Exception):
    """Raised when the GPU's memory is full, whoever uses it. It may be free later."""


class OutOfMemoryFallback(Estimator):
    """Runs another estimator, with fewer frames at once if the GPU's memory is too small for all.

    Each time the memory is full, the number of frames is halved for the rest of the call. If not even one
    frame fits, the CPU does the rest, if that is allowed.

    Args:
        estimator: on a GPU.
        on_cpu: makes the same estimator on the CPU, at most once; None if the CPU is not allowed.
    """

    def __init__(self, estimator: Estimator, on_cpu: Callable[[], Estimator] | None = None) -> None:
        self.name = estimator.name
        self.version = estimator.version
        self.min_score = estimator.min_score
        self.uses_depth = estimator.uses_depth
        self.runtime = estimator.runtime
        self._estimator = estimator
        self._make_on_cpu = on_cpu
        self._on_cpu: Estimator | None = None

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Estimator.

        Raises:
            OutOfMemory: not even one frame fits, and the CPU is not allowed.
        """
        import torch

        found: list[Detections] = []
        at_once = len(frames)
        while len(found) < len(frames):
            part = frames[len(found) : len(found) + at_once]
            try:
                found += self._estimator.detect(part)
                continue
            except torch.cuda.OutOfMemoryError:
                log.warning("gpu_memory_full", frames=len(part))
            # Outside the handler: there the error's traceback still keeps the tensors of the frames alive.
            torch.cuda.empty_cache()
            if len(part) == 1:
                return found + self._detect_on_cpu(frames[len(found) :])
            at_once = len(part) // 2
        return found

    def _detect_on_cpu(self, frames: Sequence[Frame]) -> list[Detections]:
        if self._make_on_cpu is None:
            raise OutOfMemory("the GPU's memory is full: not even one frame fits")
        if self._on_cpu is None:
            self._on_cpu = self._make_on_cpu()
        log.warning("done_on_cpu", frames=len(frames))
        return self._on_cpu.detect(frames)
