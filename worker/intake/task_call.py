"""What arrives, and the keys made from it. No key is built from anything that was not checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.keys import InvalidRequest, ScanId, parse_scan_id

CALL: Final = {"arrival", "scan_id", "force", "resent"}  # what the task takes by name


def scan_id_of(arrival: object, scan_id: object) -> ScanId:
    """The scan of a message that gave it as `scan_id=…` or as one object `{"scan_id": …}`, not as both.

    Raises:
        InvalidRequest: neither or both are there, the object has other fields, or the id is not one.
    """
    if arrival is None:
        return parse_scan_id(scan_id)
    if scan_id is not None:
        raise InvalidRequest("the scan was given twice")
    if not isinstance(arrival, Mapping) or set(arrival) != {"scan_id"}:
        raise InvalidRequest('a scan is named by kwargs {"scan_id": …} or by one such object in args')
    return parse_scan_id(arrival["scan_id"])


def check_call(args: Sequence[object], kwargs: Mapping[str, object]) -> ScanId:
    """The scan that a message calls `worker.process_scan` for.

    Raises:
        InvalidRequest: see `scan_id_of`; or the task takes no such arguments.
    """
    if len(args) > 1 or (args and "arrival" in kwargs) or set(kwargs) - CALL:
        raise InvalidRequest("the task takes a scan_id, perhaps force, and nothing else")
    for name in ("force", "resent"):
        if not isinstance(kwargs.get(name, False), bool):
            raise InvalidRequest(f"{name} is true or false")
    return scan_id_of(args[0] if args else kwargs.get("arrival"), kwargs.get("scan_id"))
