"""One file over HTTP: resumed where it was cut off, and given its name only when it is the right one."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import requests
from tenacity import Future, Retrying, retry_if_exception_type, wait_exponential, wait_random
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ReadTimeoutError

from pose.errors import DownloadError, NoNetwork, WeightsNotFound

CONNECT_TIMEOUT_S: Final = 10.0
STALL_S: Final = 30.0  # nothing in so many seconds, or less than MIN_RATE on average over them
MIN_RATE: Final = 1024  # bytes a second
TRIES: Final = 8  # with the pauses between them three quarters of a minute
TRIES_TO_REACH: Final = 3  # a machine without a network learns it in seconds
CHUNK: Final = 256 * 1024
_LATER: Final = (408, 425, 429)  # and all of 5xx: the server asks to come again
_MISSING: Final = (404, 410)


class _Again(DownloadError):
    """What another try may mend."""


@dataclass(frozen=True)
class _Wanted:
    """What is to be fetched, and what is known of it."""

    url: str
    part: Path
    label: str  # for errors: no user, password or query of the URL
    size: int | None
    sha256: str
    max_bytes: int
    progress: Callable[[int, int | None], None]
    stall_s: float

    @property
    def tag(self) -> Path:
        """The server's word for the version of which `part` is a part."""
        return self.part.with_name(f"{self.part.name}.tag")

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


def download(
    url: str,
    to: Path,
    *,
    max_bytes: int,
    size: int | None = None,
    sha256: str = "",
    progress: Callable[[int, int | None], None] | None = None,
    stall_s: float = STALL_S,
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetches a file. `<to>.part` holds what has come so far; a later call goes on from there.

    One process at a time may fetch to the same place; `WeightsStore.lock` sees to that.

    Args:
        url: http or https.
        to: where the file goes, whole and checked, in place of any that is there.
        max_bytes: a file larger than this is refused, whatever the server says of it.
        size: bytes that it has, if known.
        sha256: its hash in hex, or the first digits of it; "" if unknown.
        progress: called with the bytes that are there, and with all (None: the server does not say).
        stall_s: seconds after which a server that sends nothing, or hardly anything, is given up.
        tries: connections at most; `sleep` waits between them, longer each time.

    Raises:
        WeightsNotFound: the server has no such file.
        NoNetwork: it cannot be reached.
        DownloadError: it refuses, is cut off or stalls too often, or its file has another size or hash.
        ValueError: the URL is not http or https.
        OSError: the file cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("only http:// and https:// can be downloaded from")
    label = f"{unquote(parts.path).rpartition('/')[2] or 'the file'} from {parts.hostname}"
    part = to.with_name(f"{to.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    wanted = _Wanted(
        url, part, label, size, sha256, max_bytes, progress or (lambda _done, _all: None), stall_s
    )
    retrying = Retrying(
        stop=lambda state: state.attempt_number >= _most(state.outcome, tries),
        wait=wait_exponential(multiplier=0.5, max=15) + wait_random(0, 0.25),
        retry=retry_if_exception_type((_Again, NoNetwork)),
        sleep=sleep,
        reraise=True,
    )
    try:
        retrying(_attempt, wanted)
    except _Again as error:
        raise DownloadError(f"{error} (tried {tries} times)") from None
    os.replace(part, to)
    wanted.forget()


def _most(outcome: Future | None, tries: int) -> int:
    unreachable = outcome is not None and isinstance(outcome.exception(), NoNetwork)
    return min(tries, TRIES_TO_REACH) if unreachable else tries


def _attempt(wanted: _Wanted) -> None:
    """One connection: to its end, with the right bytes in the part, or an error."""
    start = wanted.part.stat().st_size if wanted.part.is_file() else 0
    # Identity: a length and a range are then those of the file itself.
    headers = {"Accept-Encoding": "identity", "User-Agent": "pose-worker"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if wanted.tag.is_file():
            headers["If-Range"] = wanted.tag.read_text()
    try:
        with requests.get(
            wanted.url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, wanted.stall_s)
        ) as response:
            if not _is_whole(response, start):
                start, total = _begin(response, wanted, start)
                _receive(response, wanted, start, total)
    except requests.RequestException as error:
        raise _explained(error, wanted) from None
    except ReadTimeoutError:
        raise _Again(f"{wanted.label}: the server sent nothing for {wanted.stall_s:g} s") from None
    except HTTPError as error:
        raise _Again(f"{wanted.label}: the connection was cut ({type(error).__name__})") from None
    _check(wanted, start)


def _is_whole(response: requests.Response, start: int) -> bool:
    """Whether the server says that nothing comes after what we have (RFC 9110, 15.5.17)."""
    return (
        start > 0
        and response.status_code == 416
        and response.headers.get("Content-Range") == f"bytes */{start}"
    )


def _begin(response: requests.Response, wanted: _Wanted, start: int) -> tuple[int, int | None]:
    """From what the server's first lines say: where its bytes belong, and how many there are in all."""
    status = response.status_code
    if status == 416 and start:  # nothing comes after what we have, nor does it end there: another file's
        wanted.forget()
        raise _Again(f"{wanted.label}: what was fetched before does not belong to it")
    if status in _MISSING:
        raise WeightsNotFound(f"{wanted.label}: there is no such file ({status})")
    if status in _LATER or status >= 500:
        raise _Again(f"{wanted.label}: the server answered {status}")
    if status not in (200, 206):
        raise DownloadError(f"{wanted.label}: the server answered {status}")
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not start or found is None or int(found[1]) != start:
            wanted.forget()
            raise _Again(f"{wanted.label}: the server sent another part than was asked for")
        total = None if found[2] == "*" else int(found[2])
    else:
        start = 0
        wanted.forget()
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        _remember_version(response, wanted)
    if total is not None and wanted.size not in (None, total):
        wanted.forget()
        raise DownloadError(f"{wanted.label}: {total} bytes, expected {wanted.size}")
    if (total or 0) > wanted.max_bytes:
        raise DownloadError(f"{wanted.label}: {total} bytes, expected at most {wanted.max_bytes}")
    return start, wanted.size if total is None else total


def _remember_version(response: requests.Response, wanted: _Wanted) -> None:
    version = response.headers.get("ETag", "")
    if not version or version.startswith("W/"):  # a weak one may stand for other bytes (RFC 9110, 13.1.5)
        version = response.headers.get("Last-Modified", "")
    if version:
        wanted.tag.write_text(version)


def _receive(response: requests.Response, wanted: _Wanted, start: int, total: int | None) -> None:
    """All that comes, appended to the part."""
    done = start
    limit = wanted.max_bytes if total is None else total
    since, before = time.monotonic(), done
    with wanted.part.open("r+b" if start else "wb") as file:
        file.seek(start)
        wanted.progress(done, total)
        # read1 gives what is there: a whole chunk may take a slow server for ever, within each timeout.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            done += len(chunk)
            if done > limit:
                file.close()
                wanted.forget()
                raise DownloadError(f"{wanted.label}: more than the {limit} bytes that were expected")
            file.write(chunk)
            wanted.progress(done, total)
            passed = time.monotonic() - since
            if passed >= wanted.stall_s:
                if done - before < MIN_RATE * passed:
                    raise _Again(f"{wanted.label}: only {done - before} bytes came in {passed:.0f} s")
                since, before = time.monotonic(), done
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Again(f"{wanted.label}: cut off after {done} of {total} bytes")


def _check(wanted: _Wanted, start: int) -> None:
    if not wanted.sha256:
        return
    with wanted.part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found.startswith(wanted.sha256):
        return
    wanted.forget()
    problem = f"{wanted.label}: SHA-256 {found}, expected {wanted.sha256}"
    if len(wanted.sha256) < 64:
        problem += "…"
    # A part may have been another version's: once more, from the first byte.
    raise _Again(problem) if start else DownloadError(problem)


def _explained(error: requests.RequestException, wanted: _Wanted) -> DownloadError:
    """What to do about an error of requests, whose own text may hold the whole URL."""
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadError(f"{wanted.label}: the server's certificate or its encryption was not accepted")
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(
        reason, NewConnectionError
    ):
        return NoNetwork(f"{wanted.label}: the server cannot be reached")
    if isinstance(error, requests.ReadTimeout):
        return _Again(f"{wanted.label}: the server sent nothing for {wanted.stall_s:g} s")
    if isinstance(error, requests.ConnectionError):
        return _Again(f"{wanted.label}: the connection was cut")
    return DownloadError(f"{wanted.label}: {type(error).__name__}")
