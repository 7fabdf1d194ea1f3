"""Scan ids, and the storage keys made from them. No key is built from anything that was not checked here."""

from __future__ import annotations

import re
from typing import Final

SCAN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
ARTEFACT: Final = re.compile(r"frames/[0-9]{1,6}/[a-z]{1,32}\.[a-z]{1,8}")


class InvalidRequest(ValueError):
    """A message that names no scan. The text never repeats what was sent: anything may stand in it."""


def parse_scan_id(value: object) -> str:
    """Give the scan id back.

    Raises:
        InvalidRequest: it is not 1 to 128 of the letters A-Z a-z, digits, `_` and `-`.
    """
    # fullmatch: `$` would let a trailing newline through.
    if not isinstance(value, str) or not SCAN_ID.fullmatch(value):
        raise InvalidRequest("a scan id is 1 to 128 letters (A-Z, a-z), digits, _ or -")
    return value


def result_key(scan_id: str) -> str:
    """Where `result.json` goes."""
    return f"{parse_scan_id(scan_id)}/result.json"


def status_key(scan_id: str) -> str:
    """Where `status.json` goes."""
    return f"{parse_scan_id(scan_id)}/status.json"


def artefact_key(scan_id: str, name: str) -> str:
    """Where an artefact such as `frames/3/blurred.jpg` goes.

    Raises:
        ValueError: the name has another form. Its text does not repeat it.
    """
    if not ARTEFACT.fullmatch(name):
        raise ValueError("an artefact's name is frames/<order>/<name>.<type>")
    return f"{parse_scan_id(scan_id)}/{name}"
