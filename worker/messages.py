"""What arrives, and the keys made from it. No key is built from anything that was not checked here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

SCAN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
CALL: Final = {"arrival", "scan_id", "force", "resent"}  # what the task takes by name
ARTEFACT: Final = re.compile(r"frames/[0-9]{1,6}/[a-z]{1,32}\.[a-z]{1,8}")


class InvalidArrival(ValueError):
    """A message that names no scan. The text never repeats what was sent: anything may stand in it."""


def check_scan_id(value: object) -> str:
    """Give the scan id back.

    Raises:
        InvalidArrival: it is not 1 to 128 of the letters A-Z a-z, digits, `_` and `-`.
    """
    # fullmatch: `$` would let a trailing newline through.
    if not isinstance(value, str) or not SCAN_ID.fullmatch(value):
        raise InvalidArrival("a scan id is 1 to 128 letters (A-Z, a-z), digits, _ or -")
    return value


def scan_id_of(arrival: object, scan_id: object) -> str:
    """The scan of a message that gave it as `scan_id=…` or as one object `{"scan_id": …}`, not as both.

    Raises:
        InvalidArrival: neither or both are there, the object has other fields, or the id is not one.
    """
    if arrival is None:
        return check_scan_id(scan_id)
    if scan_id is not None:
        raise InvalidArrival("the scan was given twice")
    if not isinstance(arrival, Mapping) or set(arrival) != {"scan_id"}:
        raise InvalidArrival('a scan is named by kwargs {"scan_id": …} or by one such object in args')
    return check_scan_id(arrival["scan_id"])


def check_call(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """The scan that a message calls `worker.process_scan` for.

    Raises:
        InvalidArrival: see `scan_id_of`; or the task takes no such arguments.
    """
    if len(args) > 1 or (args and "arrival" in kwargs) or set(kwargs) - CALL:
        raise InvalidArrival("the task takes a scan_id, perhaps force, and nothing else")
    for name in ("force", "resent"):
        if not isinstance(kwargs.get(name, False), bool):
            raise InvalidArrival(f"{name} is true or false")
    return scan_id_of(args[0] if args else kwargs.get("arrival"), kwargs.get("scan_id"))


def result_key(scan_id: str) -> str:
    """Where `result.json` goes."""
    return f"{check_scan_id(scan_id)}/result.json"


def status_key(scan_id: str) -> str:
    """Where `status.json` goes."""
    return f"{check_scan_id(scan_id)}/status.json"


def artefact_key(scan_id: str, name: str) -> str:
    """Where an artefact such as `frames/3/blurred.jpg` goes.

    Raises:
        ValueError: the name has another form. Its text does not repeat it.
    """
    if not ARTEFACT.fullmatch(name):
        raise ValueError("an artefact's name is frames/<order>/<name>.<type>")
    return f"{check_scan_id(scan_id)}/{name}"
