"""An estimator whose detections are kept, for two users that ask for the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from pose.estimators.base import Detections, Estimator
from pose.scan.frame import Frame


class CachedEstimator(Estimator):
    """Runs another estimator once for each frame, no matter how often `detect` is called with that frame.

    The detections of a frame are kept as long as the frame object itself exists.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.name = estimator.name
        self.version = estimator.version
        self.min_score = estimator.min_score
        self.uses_depth = estimator.uses_depth
        self.runtime = estimator.runtime
        self._estimator = estimator
        self._detections: WeakKeyDictionary[Frame, Detections] = WeakKeyDictionary()

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Estimator. Raises: as the other estimator."""
        new = [frame for frame in frames if frame not in self._detections]
        if new:
            self._detections.update(zip(new, self._estimator.detect(new), strict=True))
        return [self._detections[frame] for frame in frames]
