"""Get weights into a store: from their publisher, a mirror, or your own bucket.

A URL (`WEIGHTS_URL` for the programs; this library reads no environment variables) names the source:

- `/folder` or `file:///folder`: a folder that is the store itself;
- `http://…/` and `https://…/`: a mirror; file names are appended;
- any other scheme, such as `s3://bucket/prefix`: the entry point of that name in the group
  `pose.weights_sources`, a callable that takes the URL and returns a `WeightsSource`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from pose.errors import DownloadError, InvalidWeights, NoNetwork, WeightsNotFound
from pose.weights.checkpoint import MAX_PUBLISHED_BYTES
from pose.weights.download import Progress, download
from pose.weights.registry import REGISTRY, Published
from pose.weights.store import WeightsSource, WeightsStore

GROUP: Final = "pose.weights_sources"


class Mirror:
    """A web server that has files by their names. See `WeightsSource`."""

    # A published file can be checked against its hash; a store's file only against its own header.
    converted_first = False

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/"

    def fetch(self, file_name: str, to: Path, *, max_bytes: int, sha256: str, progress: Progress) -> None:
        """See WeightsSource."""
        download(self._url + quote(file_name), to, max_bytes=max_bytes, sha256=sha256, progress=progress)


def open_weights(url: str | None = None) -> tuple[WeightsStore, WeightsSource | None]:
    """Return the store that a URL means, and the source for `pull`; None: pull from the publisher.

    No connection is made, and no folder.

    Raises:
        ValueError: the URL cannot be used. The message does not contain it: it may contain a password.
    """
    if not url:
        return WeightsStore(), None
    parts = urlsplit(url)
    if "://" not in url:
        return WeightsStore(Path(url)), None
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError("a folder of weights is given as file:///folder")
        return WeightsStore(Path(unquote(parts.path))), None
    if parts.scheme in ("http", "https"):
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("a mirror of weights is given as https://host/folder/")
        return WeightsStore(), Mirror(url)
    for entry in entry_points(group=GROUP, name=parts.scheme):
        return WeightsStore(), entry.load()(url)
    raise ValueError(
        f"no weights can be got from {parts.scheme}://, expected a folder, file://, http://, https:// "
        f"or one of {', '.join(sorted(f'{entry.name}://' for entry in entry_points(group=GROUP)))}"
    )


def pull(
    name: str, store: WeightsStore, source: WeightsSource | None = None, progress: Progress | None = None
) -> dict[str, str]:
    """Download weights into the store, unless it has them. Processes that pull the same wait for each other.

    Returns:
        The facts in the header of the store's file.

    Raises:
        DownloadError: the weights cannot be downloaded, or the file does not fit the name.
        ValueError: there is no such name.
        OSError: the store cannot be written.
    """
    report = progress or (lambda _done, _all: None)
    # Before the lock too: a store may be read-only, and the lock writes to it.
    if stored := _stored(name, store):
        return stored
    with store.lock(name):
        if stored := _stored(name, store):
            return stored
        try:
            return (
                _from_publisher(name, store, report)
                if source is None
                else _from_source(name, store, source, report)
            )
        except NoNetwork as error:
            raise NoNetwork(
                f"{error}; no network? Run `pose weights pull {name}` on a machine that has one, then `pose "
                f"weights add {name} FILE` here; or point WEIGHTS_URL at a folder or bucket that has it"
            ) from None


def _stored(name: str, store: WeightsStore) -> dict[str, str]:
    """Return the header of stored weights; {} if they are missing or damaged."""
    try:
        return store.load(name).facts if store.has(name) else {}
    except InvalidWeights:
        return {}


def _from_publisher(name: str, store: WeightsStore, progress: Progress) -> dict[str, str]:
    published = next((each for each in REGISTRY[name] if each.url), None)
    if published is None or published.url is None:
        raise WeightsNotFound(f"{name} cannot be downloaded by a program: use `pose weights add {name} FILE`")
    to = _downloads(store) / published.file
    limit = published.size or MAX_PUBLISHED_BYTES
    download(published.url, to, max_bytes=limit, sha256=published.sha256, progress=progress)
    return _add(name, store, to, own=False)


def _from_source(name: str, store: WeightsStore, source: WeightsSource, progress: Progress) -> dict[str, str]:
    converted: list[tuple[str, Published | None]] = [(f"{name}.safetensors", None)]
    originals: list[tuple[str, Published | None]] = [(each.file, each) for each in REGISTRY[name]]
    files = [*converted, *originals] if source.converted_first else [*originals, *converted]
    for file, published in files:
        to = _downloads(store) / file
        sha256 = published.sha256 if published else ""
        try:
            source.fetch(file, to, max_bytes=MAX_PUBLISHED_BYTES, sha256=sha256, progress=progress)
        except WeightsNotFound:
            continue
        # A converted file was accepted when it was added to the store that it is from.
        return _add(name, store, to, own=published is None)
    raise WeightsNotFound(f"{name}: WEIGHTS_URL holds none of {', '.join(file for file, _ in files)}")


def _add(name: str, store: WeightsStore, file: Path, *, own: bool) -> dict[str, str]:
    """Add a file to the store, and delete it."""
    try:
        return store.add(name, file, own=own)
    except InvalidWeights as error:
        raise DownloadError(f"{name}: the downloaded file cannot be used: {error}") from None
    finally:
        file.unlink(missing_ok=True)


def _downloads(store: WeightsStore) -> Path:
    return store.folder / "downloads"
