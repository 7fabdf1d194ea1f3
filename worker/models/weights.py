"""Where the weights of this worker's models are, and how they come there before the first scan does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.config.logs import get_logger
from worker.config.settings import Settings

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

log = get_logger(__name__)


def open_store(settings: Settings) -> WeightsStore:
    """The folder that WEIGHTS_URL names, or this user's cache. Nothing is brought there.

    Raises:
        ValueError: WEIGHTS_URL cannot be used.
    """
    from pose.weights.sources import open_weights  # with it comes torch

    store, _ = open_weights(settings.weights_url)
    return store


def fetch_weights(settings: Settings) -> None:
    """Bring what the model needs from the bucket or mirror that WEIGHTS_URL names into this user's cache.

    What is there already is checked and kept. Without WEIGHTS_URL, or where it is a folder, nothing is done:
    a worker takes nothing from the public network unasked.

    Raises:
        pose.errors.DownloadError: it cannot be reached, or lacks what was asked for by name.
        pose.InvalidWeights: what it has does not fit.
        ValueError: WEIGHTS_URL or a name cannot be used.
    """
    from pose.errors import WeightsNotFound
    from pose.weights.registry import DEFAULT_POSE, POSE_MODELS
    from pose.weights.sources import open_weights, pull

    store, source = open_weights(settings.weights_url)
    # A model that takes the best that there is asks for one after the other.
    wanted = {"auto": (DEFAULT_POSE,), "both": POSE_MODELS}.get(settings.model, (settings.model,))
    if source is None or not set(wanted) <= set(POSE_MODELS):
        return

    def fetch(name: str) -> None:
        started = time.perf_counter()
        facts = pull(name, store, source)
        seconds = round(time.perf_counter() - started, 1)
        log.info("weights_ready", weights=name, version=facts["version"], seconds=seconds)

    for name in wanted:
        try:
            fetch(name)
        except WeightsNotFound:
            if settings.model == name:
                raise
            log.info("weights_not_there", weights=name)
        else:
            return fetch(settings.detector)
