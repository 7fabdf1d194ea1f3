"""Small scans that come with the data, not with the project. They have what phones and programs write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def case(name: str) -> Path:
    """Return the folder of a scan; skip the test if there is none. CASES=FOLDER says where they are."""
    folder = Path(os.environ.get("CASES") or Path(__file__).parents[2].parent / "shared/cases")
    if not (folder / name).is_dir():
        pytest.skip(f"no {name} in {folder}; CASES=FOLDER says where these scans are")
    return folder / name
