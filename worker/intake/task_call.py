"""Check the arguments of a message to `worker.process_scan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.keys import InvalidRequest, ScanId, parse_scan_id

FLAGS: Final = ("force", "resent")
ARGUMENTS: Final = {"arrival", "scan_id", *FLAGS}  # what the task takes by name


def scan_id_of(arrival: object, scan_id: object) -> ScanId:
    """Return the scan of a message that names it as `scan_id=…` or as one object `{"scan_id": …}`.

    >>> scan_id_of({"scan_id": "scan-1"}, None)
    'scan-1'

    Raises:
        InvalidRequest: Neither or both are there, the object has other fields, or the id is not valid.
    """
    if arrival is None:
        return parse_scan_id(scan_id)
    if scan_id is not None:
        raise InvalidRequest("the message names the scan twice")
    if not isinstance(arrival, Mapping) or set(arrival) != {"scan_id"}:
        raise InvalidRequest('a message names a scan by kwargs {"scan_id": …} or by one such object in args')
    return parse_scan_id(arrival["scan_id"])


def parse_call(args: Sequence[object], kwargs: Mapping[str, object]) -> ScanId:
    """Return the scan that a message calls `worker.process_scan` for.

    >>> parse_call([], {"scan_id": "scan-1", "force": True})
    'scan-1'

    Raises:
        InvalidRequest: The task does not take these arguments, or they name no scan.
    """
    if len(args) > 1 or (args and "arrival" in kwargs) or set(kwargs) - ARGUMENTS:
        raise InvalidRequest("the task takes scan_id, optionally force, and nothing else")
    for name in FLAGS:
        if not isinstance(kwargs.get(name, False), bool):
            raise InvalidRequest(f"{name} must be true or false")
    return scan_id_of(args[0] if args else kwargs.get("arrival"), kwargs.get("scan_id"))
