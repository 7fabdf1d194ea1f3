"""Weights in an S3 bucket: the source that `pose.weights.sources` opens for `s3://bucket/prefix`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from pose.errors import DownloadError, WeightsNotFound
from worker.config.settings import load_settings
from worker.config.urls import S3Url, parse_storage_url
from worker.storage.base import ObjectMissing, ScanTooLarge, StorageUnavailable
from worker.storage.s3 import S3Storage

NAME: Final = "the bucket of weights"
TRIES: Final = 3


class S3Source:
    """Files below a prefix of a bucket. See `pose.weights.store.WeightsSource`.

    Args:
        url: `s3://bucket/prefix`.
        endpoint_url: Of an S3 server that is not Amazon's; None takes the one of the worker's settings.

    Raises:
        ValueError: The URL cannot be used.
        DownloadError: S3 cannot be used, for example because the profile in the environment does not exist.
    """

    # A converted file in the fleet's own bucket is there on purpose, so it is used before the published one.
    converted_first = True

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        location = parse_storage_url(url)
        if not isinstance(location, S3Url):
            raise ValueError("must be s3://bucket/prefix")
        endpoint_url = load_settings().s3_endpoint_url if endpoint_url is None else endpoint_url
        try:
            self._storage = S3Storage(location.bucket, location.prefix, NAME, endpoint_url)
        except StorageUnavailable as error:
            raise DownloadError(str(error)) from None

    def fetch(
        self,
        file_name: str,
        to: Path,
        *,
        max_bytes: int,
        sha256: str,  # not used: the caller checks the file, and no download is resumed here
        progress: Callable[[int, int | None], None],
    ) -> None:
        """See WeightsSource."""
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f"{to.name}.part")
        # boto3 retries a connection, but not a transfer that was cut off.
        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(multiplier=0.5, max=5) + wait_random(0, 0.25),
            retry=retry_if_exception_type(StorageUnavailable),
            reraise=True,
        )
        try:
            retrying(self._copy, file_name, part, max_bytes, progress)
            part.replace(to)
        except ObjectMissing:
            raise WeightsNotFound(f"{NAME} holds no {file_name}") from None
        except (StorageUnavailable, ScanTooLarge) as error:
            raise DownloadError(str(error)) from None
        finally:
            part.unlink(missing_ok=True)

    def _copy(
        self, file_name: str, part: Path, max_bytes: int, progress: Callable[[int, int | None], None]
    ) -> None:
        size, chunks = self._storage.stream(file_name, max_bytes)
        done = 0
        progress(done, size)
        with part.open("wb") as file:
            for chunk in chunks:
                done += len(chunk)
                file.write(chunk)
                progress(done, size)
        if done != size:
            raise StorageUnavailable(f"{NAME}: cut off after {done} of {size} bytes")
