"""Where weights come from: those who published them, a mirror, or a fleet's own bucket; and how they are got.

A place is a URL (`WEIGHTS_URL` for the programs; this library reads no environment):

- `/folder` or `file:///folder`: the store itself is there, shared by all who can read it;
- `http://…/` and `https://…/`: a mirror; file names are appended;
- any other scheme, such as `s3://bucket/prefix`: whatever is installed as an entry point of that name in the
  group `pose.weights_sources`, a callable that takes the URL and gives a `WeightsSource`.
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
    """A web server that holds files by their names. See `WeightsSource`."""

    # What others published can be checked against its hash; what a store wrote, only against itself.
    converted_first = False

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/"

    def fetch(self, file_name: str, to: Path, *, max_bytes: int, sha256: str, progress: Progress) -> None:
        """See WeightsSource."""
        download(self._url + quote(file_name), to, max_bytes=max_bytes, sha256=sha256, progress=progress)


def open_weights(url: str | None = None) -> tuple[WeightsStore, WeightsSource | None]:
    """The store that a place means, and where `pull` gets what it lacks; None: from who published it.

    Nothing is connected to, and no folder is made.

    Raises:
        ValueError: the place cannot be used. The text does not repeat it: it may hold a password.
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
        f"weights cannot be had from {parts.scheme}://, expected a folder, file://, http://, https:// "
        f"or one of {', '.join(sorted(f'{entry.name}://' for entry in entry_points(group=GROUP)))}"
    )


def pull(
    name: str, store: WeightsStore, source: WeightsSource | None = None, progress: Progress | None = None
) -> dict[str, str]:
    """Gets weights into the store, unless they are there whole. Two that pull the same wait for each other.

    Returns:
        What the header of the store's file says.

    Raises:
        DownloadError: they cannot be had.
        InvalidWeights: what came does not fit the name.
        ValueError: there is no such name.
        OSError: the store cannot be written.
    """
    report = progress or (lambda _done, _all: None)
    # Before the lock too: a store that is whole may be one that cannot be written.
    if stored := _stored(name, store):
        return stored
    with store.lock(name):
        if stored := _stored(name, store):
            return stored
        try:
            return _publisher(name, store, report) if source is None else _source(name, store, source, report)
        except NoNetwork as error:
            raise NoNetwork(
                f"{error}; no network? Run `pose weights pull {name}` on a machine that has one, then `pose "
                f"weights add {name} FILE` here; or point WEIGHTS_URL at a folder or bucket that has it"
            ) from None


def _stored(name: str, store: WeightsStore) -> dict[str, str] | None:
    """The header of what is there; None if nothing is, or if it is damaged, and so to be replaced."""
    try:
        return store.load(name).facts if store.has(name) else None
    except InvalidWeights:
        return None


def _publisher(name: str, store: WeightsStore, progress: Progress) -> dict[str, str]:
    published = next((each for each in REGISTRY[name] if each.url), None)
    if published is None or published.url is None:
        raise WeightsNotFound(f"{name} is published nowhere that can be pulled from")
    to = _downloads(store) / published.file
    limit = published.size or MAX_PUBLISHED_BYTES
    download(published.url, to, max_bytes=limit, sha256=published.sha256, progress=progress)
    return _taken(name, store, to, own=False)


def _source(name: str, store: WeightsStore, source: WeightsSource, progress: Progress) -> dict[str, str]:
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
        # Whoever runs the bucket has decided on weights of their own when they were added to a store.
        return _taken(name, store, to, own=published is None)
    raise WeightsNotFound(f"{name}: WEIGHTS_URL holds none of {', '.join(file for file, _ in files)}")


def _taken(name: str, store: WeightsStore, file: Path, *, own: bool) -> dict[str, str]:
    """Into the store; the file itself is not needed any more, nor if it is the wrong one."""
    try:
        return store.add(name, file, own=own)
    except InvalidWeights as error:
        raise DownloadError(f"{name}: what came cannot be used: {error}") from None
    finally:
        file.unlink(missing_ok=True)


def _downloads(store: WeightsStore) -> Path:
    return store.folder / "downloads"
