"""Download one file over HTTP: resumed after an interruption, checked by its hash, and only then renamed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from pose.errors import DownloadError, NoNetwork, WeightsNotFound
from pose.weights.checkpoint import LFS_PROBLEM, is_lfs_pointer

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0  # without a byte
TRIES: Final = 8  # with the pauses in between three quarters of a minute
TRIES_TO_CONNECT: Final = 3  # without a network the error comes within seconds
CHUNK: Final = 16 * 1024  # bytes; less than that is lost when a connection is cut
_RETRIED: Final = (408, 425, 429)  # and all of 5xx: the server asks to come again
_MISSING: Final = (404, 410)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and with how many there will be (None: not known)."""


class _Retryable(DownloadError):
    """Raised when another try may succeed."""


def download(
    url: str,
    to: Path,
    *,
    max_bytes: int,
    sha256: str = "",
    progress: Progress = lambda _done, _total: None,
    tries: int = TRIES,
    timeout_s: float = READ_TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download a file. `<to>.part` holds the bytes received so far; a later call continues from there.

    Only one process at a time may download to the same path; see `WeightsStore.lock`.

    Args:
        url: http or https.
        to: the path of the complete and checked file; replaces a file that is there.
        max_bytes: refuse a file that is larger.
        sha256: of the file, in hex; its first digits are enough; "" if it is not known.
        progress: called before the first bytes and after each chunk.
        tries: connections at most; the pauses between them (`sleep`) get longer.
        timeout_s: give a connection up if no byte arrives for this long.

    Raises:
        WeightsNotFound: the server has no such file.
        NoNetwork: no connection to the server can be made.
        DownloadError: the server refuses, too many connections were cut, or the file is too large or has
            another hash.
        ValueError: the URL is not http or https.
        OSError: the file cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("only http:// and https:// can be downloaded from")
    # Errors show this and not the URL, which may hold a password.
    label = f"{unquote(parts.path).rpartition('/')[2] or 'the file'} from {parts.hostname}"
    part = _Part(to)
    retrying = Retrying(
        stop=lambda state: state.attempt_number >= min(tries, _most_tries(state)),
        wait=wait_exponential(multiplier=0.5, max=15) + wait_random(0, 0.25),
        retry=retry_if_exception_type((_Retryable, NoNetwork)),
        sleep=sleep,
        reraise=True,
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        retrying(_download_once, url, label, part, max_bytes, sha256, progress, timeout_s)
    except _Retryable as error:
        raise DownloadError(f"{error} (tried {tries} times)") from None
    part.path.replace(to)
    part.delete()


class _Part:
    """The bytes received so far, and beside them the version (ETag or date) of the file they belong to."""

    def __init__(self, to: Path) -> None:
        self.path = to.with_name(f"{to.name}.part")
        self._version = to.with_name(f"{to.name}.part.tag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest, but for the whole file if it has changed since."""
        if self.size == 0:
            return {}
        version = {"If-Range": self._version.read_text()} if self._version.is_file() else {}
        return {"Range": f"bytes={self.size}-", **version}

    def begin(self, headers: requests.structures.CaseInsensitiveDict[str]) -> None:
        """Start again with an empty part of the version that the server sends."""
        self.delete()
        version = headers.get("ETag", "")
        if not version or version.startswith("W/"):  # weak: may stand for other bytes (RFC 9110, 13.1.5)
            version = headers.get("Last-Modified", "")
        if version:
            self._version.write_text(version)

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)


def _most_tries(state: RetryCallState) -> int:
    no_network = state.outcome is not None and isinstance(state.outcome.exception(), NoNetwork)
    return TRIES_TO_CONNECT if no_network else TRIES


def _download_once(
    url: str, label: str, part: _Part, max_bytes: int, sha256: str, progress: Progress, timeout_s: float
) -> None:
    """Make one connection. Return when the part is the whole file with the right hash."""
    start = part.size
    # Without "identity" lengths and ranges may be those of a compressed file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "pose-worker", **part.range_headers()}
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, timeout_s))
    except requests.exceptions.SSLError:
        raise DownloadError(f"{label}: the server's certificate or encryption was not accepted") from None
    except requests.ConnectionError:
        raise NoNetwork(f"{label}: the server cannot be reached") from None
    except requests.Timeout:
        raise _Retryable(f"{label}: the server sent nothing for {timeout_s:g} s") from None
    except requests.RequestException as error:
        raise DownloadError(f"{label}: {type(error).__name__}") from None
    with response:
        start = _check_status(response, label, part, start)
        if response.status_code != 416:
            _receive(response, label, part, start, max_bytes, progress)
    with part.path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        if is_lfs_pointer(part.path):
            part.delete()
            raise DownloadError(f"{label}: {LFS_PROBLEM}")
        part.delete()
        problem = f"{label}: SHA-256 {found}, expected {sha256}{'' if len(sha256) == 64 else '…'}"
        # The part may have been of another version: try again from the first byte.
        raise _Retryable(problem) if start else DownloadError(problem)


def _check_status(response: requests.Response, label: str, part: _Part, start: int) -> int:
    """Return the position of the first byte that the server sends."""
    status, content_range = response.status_code, response.headers.get("Content-Range", "")
    if status == 200:
        part.begin(response.headers)
        return 0
    if start and (status, content_range) == (416, f"bytes */{start}"):
        return start  # the part is the whole file: nothing comes after it
    if start and status == 206 and content_range.startswith(f"bytes {start}-"):
        return start
    if status in (206, 416):
        part.delete()
        raise _Retryable(f"{label}: the server sent another range than was asked for")
    if status in _MISSING:
        raise WeightsNotFound(f"{label}: there is no such file ({status})")
    error = _Retryable if status in _RETRIED or status >= 500 else DownloadError
    raise error(f"{label}: the server answered {status}")


def _receive(
    response: requests.Response, label: str, part: _Part, start: int, max_bytes: int, progress: Progress
) -> None:
    """Append what the server sends to the part."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    if total is not None and total > max_bytes:
        part.delete()
        raise DownloadError(f"{label}: {total} bytes, expected at most {max_bytes}")
    done = start
    progress(done, total)
    with part.path.open("ab") as file:
        try:
            for chunk in response.iter_content(CHUNK):
                done += len(chunk)
                if done > max_bytes:
                    part.delete()
                    raise DownloadError(f"{label}: more than {max_bytes} bytes, the most that is expected")
                file.write(chunk)
                progress(done, total)
        except requests.RequestException as error:
            problem = f"the connection was cut or stalled after {done} bytes ({type(error).__name__})"
            raise _Retryable(f"{label}: {problem}") from None
