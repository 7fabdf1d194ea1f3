"""Open the storages that the settings choose: a local folder or an S3 bucket."""

from __future__ import annotations

import functools
import os

from worker.config.settings import Settings
from worker.config.urls import FileUrl, parse_storage_url
from worker.storage.base import Storage


def open_storage(url: str, name: str, endpoint_url: str | None = None, *, make_root: bool = True) -> Storage:
    """Return the storage at a URL. It is not accessed before it is used.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`.
        name: how error texts call it, such as "the storage of scans".
        endpoint_url: the address of an S3 server that is not Amazon's.
        make_root: whether the first write creates a folder that does not exist. Buckets are never created.

    Raises:
        ValueError: the URL cannot be used.
        StorageUnavailable: boto3 cannot be set up, for example because AWS_PROFILE names no profile.
    """
    location = parse_storage_url(url)
    if isinstance(location, FileUrl):
        from worker.storage.local import LocalStorage

        return LocalStorage(location.path, name, make_root)
    # Imported here, because botocore takes a third of a second to import and most commands do not need it.
    from worker.storage.s3 import S3Storage

    return S3Storage(location.bucket, location.prefix, name, endpoint_url)


def open_storages(settings: Settings) -> tuple[Storage, Storage]:
    """Return the storages of scans and of results. A process opens them once and keeps their connections.

    Raises:
        StorageUnavailable: see `open_storage`.
    """
    return _open_storages(settings, os.getpid())


@functools.cache
def _open_storages(settings: Settings, _pid: int) -> tuple[Storage, Storage]:
    endpoint = settings.s3_endpoint_url
    scans = open_storage(settings.scans_url, "the storage of scans", endpoint, make_root=False)
    results = open_storage(settings.results_url, "the storage of results", endpoint)
    return scans, results
