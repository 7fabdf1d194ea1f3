"""The plush scan, and small builders of files as a phone writes them.

The builders write the formats by hand: a reader that is tested with a writer made from the same head would
only agree with itself. They are fixtures of the whole session, so that hypothesis may use them.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

CALIBRATION = b"""Color camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
Depth camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
Depth camera position:
0 0 0
"""
POSE = (-0.15386176, 0.6911723, 0.6840933, -0.17500913, 0.024252899, -0.09748171, 0.07438941)

ZipBuilder = Callable[..., bytes]
DepthBuilder = Callable[..., bytes]
PictureBuilder = Callable[..., bytes]
ScanBuilder = Callable[..., dict[str, bytes]]


@pytest.fixture(scope="session")
def plush() -> Path:
    """Folder of the real scan that comes with the data, not with the project."""
    folder = Path(os.environ.get("PLUSH") or Path(__file__).parents[1].parent / "shared/data/plush")
    if not folder.is_dir():
        pytest.skip(f"the plush scan is not at {folder}; PLUSH=FOLDER says where it is")
    return folder


@pytest.fixture(scope="session")
def calibration_file() -> bytes:
    """A valid `camera_calibration.txt`."""
    return CALIBRATION


@pytest.fixture(scope="session")
def make_zip() -> ZipBuilder:
    """make_zip(content, name="data", method=deflated) → a ZIP archive of one member."""

    def make(content: bytes, name: str = "data", method: int = zipfile.ZIP_DEFLATED) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            archive.writestr(name, content)
        return packed.getvalue()

    return make


@pytest.fixture(scope="session")
def make_depth(make_zip: ZipBuilder) -> DepthBuilder:
    """make_depth(depth=1.0, size=(24, 18), pose=POSE, …) → a `.depth` file; pose=None writes an old one.

    `header` replaces the header line; `trailing` comes after the pixels.
    """

    def make(
        depth: ArrayLike = 1.0,
        size: tuple[int, int] = (24, 18),
        pose: tuple[float, ...] | None = POSE,
        confidence: int = 7,
        header: bytes | None = None,
        trailing: bytes = b"",
    ) -> bytes:
        width, height = size
        if header is None:
            fields = [f"{width}x{height}", "0.001", "7", *map(str, pose or ())]
            header = "_".join(fields).encode() + b"\n"
        units = np.rint(np.broadcast_to(depth, (height, width)) * np.float64(1000)).astype(int)
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[..., 0], pixels[..., 1], pixels[..., 2] = units // 256, units % 256, confidence
        return make_zip(header + pixels.tobytes() + trailing)

    return make


@pytest.fixture(scope="session")
def make_picture() -> PictureBuilder:
    """make_picture(size=(64, 48), type=".jpg") → an encoded picture, left half red, right half blue."""

    def make(size: tuple[int, int] = (64, 48), type: str = ".jpg") -> bytes:
        width, height = size
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[:, : width // 2, 0] = 200
        rgb[:, width // 2 :, 2] = 200
        ok, data = cv2.imencode(type, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        assert ok
        return data.tobytes()

    return make


@pytest.fixture(scope="session")
def make_scan(make_depth: DepthBuilder, make_picture: PictureBuilder) -> ScanBuilder:
    """make_scan(frames=2, step=100, person="p1") → a scan's files by name, in the shape of a folder."""

    def make(frames: int = 2, step: int = 100, person: str = "p1") -> dict[str, bytes]:
        files = {"camera_calibration.txt": CALIBRATION}
        for frame in range(frames):
            name = f"{person}_1622182020448_{step}_{frame + 1}"
            files[f"rgb/rgb_{name}.jpg"] = make_picture()
            files[f"depth/depth_{name}.depth"] = make_depth(1 + frame / 10)
        return files

    return make
