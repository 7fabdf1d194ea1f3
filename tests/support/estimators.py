"""Estimators for tests of what happens around one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pose import Frame, Person


class FindsNobody:
    """As the embedded one does in an empty room. Calls `before`, if any, before it answers."""

    name = "finds-nobody"
    version = "1"

    def __init__(self, before: Callable[[], object] | None = None) -> None:
        self.calls = 0
        self._before = before

    def estimate(self, frames: Sequence[Frame]) -> list[list[Person]]:
        self.calls += 1
        if self._before is not None:
            self._before()
        return [[] for _ in frames]
