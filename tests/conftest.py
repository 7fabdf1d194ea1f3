"""Fixtures of all tiers: the plush scan, small builders of files as a phone writes them, servers.

The builders write the formats by hand: a reader that is tested with a writer made from the same head would
only agree with itself. They are fixtures of the whole session, so that hypothesis may use them.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pytest
from botocore.loaders import JSONFileLoader
from numpy.typing import ArrayLike

from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server, missing_programs
from worker.config.settings import Settings

# Several processes of tests share the cores, and a number's last bits depend on how many threads compute it.
os.environ["OMP_NUM_THREADS"] = "1"
cv2.setNumThreads(1)
# boto3 parses two megabytes of JSON anew for each client.
_parsed = functools.cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _parsed(path)  # type: ignore[method-assign, assignment]

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
            # A ZipInfo has a fixed date; by its name alone, the member would get the time of this moment.
            archive.writestr(zipfile.ZipInfo(name), content, method)
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    need(missing_programs(), "radosgw ceph-mon ceph-osd")
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3_server.environment["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="session")
def bucket(s3_client: Any) -> str:
    """One for all tests, as the server takes half a second to make one."""
    s3_client.create_bucket(Bucket="bucket-of-tests")
    return "bucket-of-tests"


@pytest.fixture
def s3_path(s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`bucket/prefix` with nothing in it, and the environment in which it can be reached."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{bucket}/{uuid.uuid4()}"


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in os.environ:
        if name in ours or name.removesuffix("_FILE") in ours or name.startswith(("CELERY_", "AWS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
