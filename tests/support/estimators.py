"""Estimators for tests of what happens around one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pose import Estimator, Frame
from pose.estimators.base import Detections


class FindsNobody(Estimator):
    """Finds nobody in any frame. Calls `before`, if given, first."""

    name = "finds-nobody"
    version = "1"

    def __init__(self, before: Callable[[], object] | None = None) -> None:
        self.calls = 0
        self._before = before

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls += 1
        if self._before is not None:
            self._before()
        return [Detections([]) for _ in frames]
