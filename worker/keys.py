"""Scan ids and the storage keys made from them. Each key is built from a checked scan id."""

from __future__ import annotations

import re
from typing import Final

SCAN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
ARTEFACT: Final = re.compile(r"frames/[0-9]{1,6}/[a-z]{1,32}\.[a-z]{1,8}")


class InvalidRequest(ValueError):
    """A request to process a scan is malformed, or its scan id is. The text never repeats what was sent."""


def check_scan_id(value: object) -> str:
    """Return the scan id unchanged if it is valid.

    >>> check_scan_id("scan-1")
    'scan-1'

    Raises:
        InvalidRequest: it is not 1 to 128 of the letters A-Z a-z, digits, `_` and `-`.
    """
    # Not `match` with `$`: that would accept a newline at the end.
    if not isinstance(value, str) or not SCAN_ID.fullmatch(value):
        raise InvalidRequest("a scan id is 1 to 128 letters (A-Z, a-z), digits, _ or -")
    return value


def result_key(scan_id: str) -> str:
    """Return the key of a scan's `result.json`.

    >>> result_key("scan-1")
    'scan-1/result.json'
    """
    return f"{check_scan_id(scan_id)}/result.json"


def status_key(scan_id: str) -> str:
    """Return the key of a scan's `status.json`.

    >>> status_key("scan-1")
    'scan-1/status.json'
    """
    return f"{check_scan_id(scan_id)}/status.json"


def artefact_key(scan_id: str, name: str) -> str:
    """Return the key of an artefact.

    >>> artefact_key("scan-1", "frames/3/blurred.jpg")
    'scan-1/frames/3/blurred.jpg'

    Raises:
        ValueError: the name has another form. The text does not repeat it.
    """
    if not ARTEFACT.fullmatch(name):
        raise ValueError("an artefact's name must be frames/<order>/<name>.<type>")
    return f"{check_scan_id(scan_id)}/{name}"
