"""Storage URLs: `file:///folder` or `s3://bucket/prefix`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class FileUrl:
    """A local folder, as an absolute path."""

    path: Path


@dataclass(frozen=True)
class S3Url:
    """An S3 bucket and a prefix in it. The prefix is empty or ends in `/`."""

    bucket: str
    prefix: str


def parse_storage_url(url: str) -> FileUrl | S3Url:
    """Parse a storage URL.

    >>> parse_storage_url("s3://bucket/scans")
    S3Url(bucket='bucket', prefix='scans/')
    >>> parse_storage_url("file:///data/my%20scans")
    FileUrl(path=PosixPath('/data/my scans'))

    Raises:
        ValueError: it has another scheme, a relative folder, no valid bucket name, a query or a fragment. The
            text does not contain the URL.
    """
    try:
        parts = urlsplit(url)
        port, login = parts.port, parts.username or parts.password
    except ValueError:
        raise ValueError("must be a URL, file:///folder or s3://bucket/prefix") from None
    if parts.query or parts.fragment or port is not None or login:
        raise ValueError("must have no query, fragment, port, user or password")
    path = unquote(parts.path)
    if "\0" in path or ".." in path.split("/"):
        raise ValueError('must not contain ".."')
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ValueError("must name a folder of this machine by its absolute path, file:///folder")
        return FileUrl(Path(path))
    if parts.scheme == "s3":
        # Not `parts.hostname`: it is in lower case and would hide an invalid name.
        if not BUCKET.fullmatch(parts.netloc):
            raise ValueError("must name a bucket, s3://bucket/prefix")
        prefix = path.strip("/")
        return S3Url(parts.netloc, f"{prefix}/" if prefix else "")
    raise ValueError("must start with file:// or s3://")


def url_of_folder(folder: Path) -> str:
    """Return the `file://` URL of a folder.

    >>> url_of_folder(Path("/data/my scans"))
    'file:///data/my%20scans'
    """
    return folder.absolute().as_uri()
