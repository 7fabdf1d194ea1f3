"""An estimator that splits its batch, or goes to the CPU, when the GPU is out of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from worker.config.logs import get_logger

if TYPE_CHECKING:
    from pose import Estimator, Frame, Person
    from pose.estimators.base import Detections


class OutOfMemory(Exception):
    """The GPU's memory is full, whoever has it. It may be free later."""


log = get_logger(__name__)


class OutOfMemoryFallback:
    """Finds what another estimator finds, in fewer frames at once where the GPU's memory is not enough.

    Each time that it is full the number of frames is halved, and stays so for this call. If not even one
    fits, the CPU does it, where that is allowed.

    Args:
        estimator: on a GPU.
        on_cpu: makes the same one on the CPU; None if that is not allowed. It is kept once it was made.
    """

    def __init__(self, estimator: Estimator, on_cpu: Callable[[], Estimator] | None = None) -> None:
        self._estimator = estimator
        self._make_on_cpu = on_cpu
        self._on_cpu: Estimator | None = None

    @property
    def name(self) -> str:
        """See Estimator."""
        return self._estimator.name

    @property
    def version(self) -> str:
        """See Estimator."""
        return self._estimator.version

    def __getattr__(self, attribute: str) -> Any:
        # What else an estimator may say of itself (`min_score`).
        return getattr(self._estimator, attribute)

    def estimate(self, frames: Sequence[Frame]) -> list[list[Person]]:
        """See Estimator.

        Raises:
            OutOfMemory: not even one frame fits.
        """
        return [sight.people for sight in self.look(frames)]

    def look(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Looker.

        Raises:
            OutOfMemory: not even one frame fits.
        """
        import torch

        from pose.estimators.base import look

        found: list[Detections] = []
        at_once = len(frames)
        while len(found) < len(frames):
            part = frames[len(found) : len(found) + at_once]
            try:
                found += look(self._estimator, part)
                continue
            except torch.cuda.OutOfMemoryError:
                log.warning("gpu_memory_full", frames=len(part))
            # Not in the handler above: the error's traceback holds what was made of the frames until then.
            torch.cuda.empty_cache()
            if len(part) == 1:
                return found + self._spare(frames[len(found) :])
            at_once = len(part) // 2
        return found

    def _spare(self, frames: Sequence[Frame]) -> list[Detections]:
        from pose.estimators.base import look

        if self._make_on_cpu is None:
            raise OutOfMemory("the GPU's memory is full: not even one frame fits")
        if self._on_cpu is None:
            self._on_cpu = self._make_on_cpu()
        log.warning("done_on_cpu", frames=len(frames))
        return look(self._on_cpu, frames)
