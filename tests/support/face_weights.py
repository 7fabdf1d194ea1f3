"""YuNet's weights, which are not in the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pose.weights.registry import FACE_DETECTOR, first_published
from pose.weights.store import WeightsStore

FOLDER = "../shared/data/weights"  # beside the project; FACE_WEIGHTS=FOLDER names another


def yunet_file() -> Path:
    """The published file. The test is skipped where it is not there."""
    root = Path(__file__).parents[2]
    folders = [Path(os.environ["FACE_WEIGHTS"])] if "FACE_WEIGHTS" in os.environ else []
    folders += [parent / FOLDER.removeprefix("../") for parent in root.parents[:2]]
    for folder in folders:
        if (file := folder / first_published(FACE_DETECTOR).file).is_file():
            return file
    pytest.skip(f"{first_published(FACE_DETECTOR).file} is not there: FACE_WEIGHTS=FOLDER says where it is")


def store_with_yunet(folder: Path) -> WeightsStore:
    """A store that holds YuNet's weights."""
    store = WeightsStore(folder)
    store.add(FACE_DETECTOR, yunet_file())
    return store
