"""Where scans are and where results go, as URLs: `file:///folder` or `s3://bucket/prefix`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class InvalidStorageUrl(ValueError):
    """A storage URL that cannot be used. The text does not repeat it."""


@dataclass(frozen=True)
class FileUrl:
    """A local folder, absolute."""

    path: Path


@dataclass(frozen=True)
class S3Url:
    """An S3 bucket and the prefix in it, which is empty or ends in `/`."""

    bucket: str
    prefix: str


def parse_storage_url(url: str) -> FileUrl | S3Url:
    """What a storage URL names.

    Raises:
        InvalidStorageUrl: another scheme, a relative folder, no bucket name, or a query or fragment.
    """
    try:
        parts = urlsplit(url)
        port, login = parts.port, parts.username or parts.password
    except ValueError:
        raise InvalidStorageUrl("must be a URL, file:///folder or s3://bucket/prefix") from None
    if parts.query or parts.fragment or port is not None or login:
        raise InvalidStorageUrl("must have no query, fragment, port, user or password")
    path = unquote(parts.path)
    if "\0" in path or ".." in path.split("/"):
        raise InvalidStorageUrl('must not have ".." in it')
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise InvalidStorageUrl("must name a folder of this machine from its root, file:///folder")
        return FileUrl(Path(path))
    if parts.scheme == "s3":
        # `hostname` would be in small letters, and so hide a wrong name.
        if not BUCKET.fullmatch(parts.netloc):
            raise InvalidStorageUrl("must name a bucket, s3://bucket/prefix")
        prefix = path.strip("/")
        return S3Url(parts.netloc, f"{prefix}/" if prefix else "")
    raise InvalidStorageUrl("must start with file:// or s3://")


def url_of_folder(folder: Path) -> str:
    """The URL of a folder."""
    return folder.absolute().as_uri()
