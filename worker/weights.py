"""Where the weights of this worker's models are, and how they come there before the first scan does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.places import Folder, parse_place
from worker.settings import Settings

if TYPE_CHECKING:
    from pose.store import WeightsStore


def open_store(settings: Settings) -> WeightsStore:
    """The folder that WEIGHTS_URL names, or this user's cache."""
    from pose.store import WeightsStore  # with it comes torch

    return WeightsStore(_folder(settings.weights_url))


def _folder(url: str | None) -> Path | None:
    if url is None or not url.startswith("file://"):
        return None
    place = parse_place(url)
    return place.path if isinstance(place, Folder) else None
