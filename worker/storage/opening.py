"""Where scans are read from and results go: one contract, a local folder and S3 behind it.

A storage has a root (`worker.config.urls`). Keys are relative, their parts separated by `/`. No error's text
holds a key: the keys of inputs are file names, and those hold a person's code.
"""

from __future__ import annotations

import functools
import os

from worker.config.settings import Settings
from worker.config.urls import FileUrl, parse_storage_url
from worker.storage.base import Storage


def open_storage(url: str, name: str, endpoint_url: str | None = None, *, make_root: bool = True) -> Storage:
    """The storage at a URL. Nothing is read or written, nor connected to, before it is used.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`.
        name: what error texts call it, "the storage of scans".
        endpoint_url: of an S3 that is not Amazon's.
        make_root: whether a folder that is not there is made at the first write. Buckets are never made.

    Raises:
        ValueError: the URL cannot be used.
    """
    location = parse_storage_url(url)
    if isinstance(location, FileUrl):
        from worker.storage.local import LocalStorage

        return LocalStorage(location.path, name, make_root)
    # Not at the top: botocore takes a third of a second to import, and most commands never use it.
    from worker.storage.s3 import S3Storage

    return S3Storage(location.bucket, location.prefix, name, endpoint_url)


def open_storages(settings: Settings) -> tuple[Storage, Storage]:
    """The storages of scans and of results, once per process: connections are kept between scans.

    Raises:
        StorageUnavailable: what S3 needs is not there, such as the profile that the environment names.
    """
    return _open_storages(settings, os.getpid())


@functools.cache
def _open_storages(settings: Settings, _pid: int) -> tuple[Storage, Storage]:
    endpoint = settings.s3_endpoint_url
    scans = open_storage(settings.scans_url, "the storage of scans", endpoint, make_root=False)
    results = open_storage(settings.results_url, "the storage of results", endpoint)
    return scans, results
