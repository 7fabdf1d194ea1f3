"""Where scans are and where results go, as URLs: `file:///folder` or `s3://bucket/prefix`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class InvalidPlace(ValueError):
    """A storage URL that cannot be used. The text does not repeat it."""


@dataclass(frozen=True)
class Folder:
    """A local folder, absolute."""

    path: Path


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket and the prefix in it, which is empty or ends in `/`."""

    name: str
    prefix: str


def parse_place(url: str) -> Folder | Bucket:
    """What a storage URL names.

    Raises:
        InvalidPlace: another scheme, no absolute folder, no bucket name, or parts that such URLs do not have.
    """
    try:
        parts = urlsplit(url)
        port, login = parts.port, parts.username or parts.password
    except ValueError:
        raise InvalidPlace("must be a URL, file:///folder or s3://bucket/prefix") from None
    if parts.query or parts.fragment or port is not None or login:
        raise InvalidPlace("must have no query, fragment, port, user or password")
    path = unquote(parts.path)
    if "\0" in path or ".." in path.split("/"):
        raise InvalidPlace('must not have ".." in it')
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise InvalidPlace("must name a folder of this machine from its root, file:///folder")
        return Folder(Path(path))
    if parts.scheme == "s3":
        # `hostname` would be in small letters, and so hide a wrong name.
        if not BUCKET.fullmatch(parts.netloc):
            raise InvalidPlace("must name a bucket, s3://bucket/prefix")
        prefix = path.strip("/")
        return Bucket(parts.netloc, f"{prefix}/" if prefix else "")
    raise InvalidPlace("must start with file:// or s3://")


def place_of_folder(folder: Path) -> str:
    """The URL of a folder."""
    return folder.absolute().as_uri()
