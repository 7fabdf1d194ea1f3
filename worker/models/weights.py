"""Where the weights of this worker are, and how they get there before the first scan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.config.logs import get_logger
from worker.config.settings import Settings

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

log = get_logger(__name__)


def open_store(settings: Settings) -> WeightsStore:
    """Return the folder that WEIGHTS_URL names, or the cache of this user. Download nothing.

    Raises:
        ValueError: WEIGHTS_URL cannot be used.
    """
    from pose.weights.sources import open_weights  # imports torch

    store, _ = open_weights(settings.weights_url)
    return store


def fetch_weights(settings: Settings) -> None:
    """Copy the weights that the settings name from the bucket or mirror at WEIGHTS_URL into the cache.

    They are those of the face detector, of the model, and of its detector.

    Weights in the cache are verified and kept. Without WEIGHTS_URL, or if it is a folder, do nothing: a
    worker downloads nothing from the public network unless it is told to.

    Raises:
        pose.errors.DownloadError: The bucket cannot be reached, or does not hold what MODEL or
            FACE_DETECTOR names.
        pose.InvalidWeights: The weights do not fit the model.
        ValueError: WEIGHTS_URL or a name cannot be used.
    """
    from pose.errors import WeightsNotFound
    from pose.weights.registry import DEFAULT_POSE, FACE_DETECTOR, POSE_MODELS
    from pose.weights.sources import open_weights, pull

    store, source = open_weights(settings.weights_url)
    if source is None:
        return

    def fetch(name: str) -> None:
        started = time.perf_counter()
        facts = pull(name, store, source)
        seconds = round(time.perf_counter() - started, 1)
        log.info("weights_ready", weights=name, version=facts["version"], seconds=seconds)

    def fetch_first(names: Sequence[str], demanded: str) -> bool:
        """Fetch the first of these that the bucket holds, and return whether it holds any of them."""
        for name in names:
            try:
                fetch(name)
                return True
            except WeightsNotFound:
                if demanded == name:
                    raise
                log.info("weights_not_there", weights=name)
        return False

    if settings.face_detector in ("auto", FACE_DETECTOR):
        fetch_first((FACE_DETECTOR,), settings.face_detector)
    wanted = {"auto": (DEFAULT_POSE,), "both": POSE_MODELS}.get(settings.model, (settings.model,))
    if set(wanted) <= set(POSE_MODELS) and fetch_first(wanted, settings.model):
        fetch(settings.detector)
