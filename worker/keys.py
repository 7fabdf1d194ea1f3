"""Scan ids, and the storage keys made from them.

A scan id comes from outside: in a message, an inbox entry, an S3 notification, a command line, a listing of
folders. There it is parsed, once. All other code takes a `ScanId`, so mypy sees a text that nobody checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NewType

SCAN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
ARTEFACT: Final = re.compile(r"frames/[0-9]{1,6}/[a-z]{1,32}\.[a-z]{1,8}")

# Only `parse_scan_id` and `scan_ids_in` make one. Do not call `ScanId` elsewhere in the worker.
ScanId = NewType("ScanId", str)


class InvalidRequest(ValueError):
    """Raised when a request names no scan. The text does not repeat what was sent: it may hold anything."""


def parse_scan_id(value: object) -> ScanId:
    """Return the value as a scan id.

    >>> parse_scan_id("scan-1")
    'scan-1'

    Raises:
        InvalidRequest: The value is not 1 to 128 letters (A-Z, a-z), digits, `_` or `-`.
    """
    # fullmatch: `$` would accept a trailing newline.
    if not isinstance(value, str) or not SCAN_ID.fullmatch(value):
        raise InvalidRequest("a scan id is 1 to 128 letters (A-Z, a-z), digits, _ or -")
    return ScanId(value)


def scan_ids_in(names: Iterable[str]) -> Iterator[ScanId]:
    """Yield the names that are scan ids, and skip the others.

    >>> list(scan_ids_in(["scan-1", "not a scan", "scan-2"]))
    ['scan-1', 'scan-2']
    """
    return (ScanId(name) for name in names if SCAN_ID.fullmatch(name))


def result_key(scan_id: ScanId) -> str:
    """Return the key of a scan's `result.json`.

    >>> result_key(parse_scan_id("scan-1"))
    'scan-1/result.json'
    """
    return f"{scan_id}/result.json"


def status_key(scan_id: ScanId) -> str:
    """Return the key of a scan's `status.json`.

    >>> status_key(parse_scan_id("scan-1"))
    'scan-1/status.json'
    """
    return f"{scan_id}/status.json"


def page_key(scan_id: ScanId) -> str:
    """Return the key of a scan's page.

    >>> page_key(parse_scan_id("scan-1"))
    'scan-1/report.html'
    """
    return f"{scan_id}/report.html"


def artefact_key(scan_id: ScanId, name: str) -> str:
    """Return the key of one of a scan's artefacts.

    >>> artefact_key(parse_scan_id("scan-1"), "frames/3/blurred.jpg")
    'scan-1/frames/3/blurred.jpg'

    Raises:
        ValueError: The name is not `frames/<order>/<name>.<type>`. The text does not repeat it.
    """
    if not ARTEFACT.fullmatch(name):
        raise ValueError("an artefact's name is frames/<order>/<name>.<type>")
    return f"{scan_id}/{name}"
