"""Read the stored results of scans from folders. Nothing that is read is trusted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pose.analysis.export import OLDER_RESULT, RESULT
from pose.errors import PoseError
from pose.results import SCAN_ID, SCHEMA, ScanResult

STATUS: Final = "status.json"
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
MAX_STATUS_BYTES: Final = 1024 * 1024
MAX_TEXT: Final = 1000
_STATUSES: Final = frozenset({"queued", "started", "progress", "completed", "failed", "cancelled"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")

# Takes the name of a file ("frames/0/overlay.jpg") and the most bytes to read; returns None if there is none.
Read = Callable[[str, int], bytes | None]


class UnusableResults(PoseError, ValueError):
    """Raised when a folder holds no results, or none that this version can read."""


@dataclass(frozen=True)
class ScanStatus:
    """What `status.json` says about a scan.

    Attributes:
        status: such as `completed`.
        reason: why the scan failed; empty if it did not.
        finished_at: in UTC, as ISO 8601; empty if unknown.
    """

    status: str
    reason: str = ""
    finished_at: str = ""


@dataclass(frozen=True)
class StoredScan:
    """A scan whose results are stored.

    Attributes:
        scan_id: its id.
        read: reads its files.
    """

    scan_id: str
    read: Read

    def result(self) -> ScanResult | None:
        """Return the content of `result.json`, or None if there is none.

        Raises:
            UnusableResults: it is not a result of this scan that this version can read.
        """
        data = self.read(RESULT, MAX_RESULT_BYTES)
        if data is None:
            return None
        try:
            result = ScanResult.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            # Without the place: names of fields that are not ours may hold anything.
            raise UnusableResults(
                f"{RESULT} cannot be read: expected {SCHEMA} or an earlier one ({first['type']})"
            ) from None
        if result.scan_id != self.scan_id:
            raise UnusableResults(f"{RESULT} is of another scan, expected that of the folder's name")
        return result

    def status(self) -> ScanStatus:
        """Return the status of the scan. Without a `status.json` the other files tell it."""
        data = self.read(STATUS, MAX_STATUS_BYTES)
        if data is not None and (status := _parse_status(data)) is not None:
            return status
        if self.read(RESULT, MAX_RESULT_BYTES) is not None:
            return ScanStatus("completed")
        return ScanStatus("failed")


def _parse_status(data: bytes) -> ScanStatus | None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    status, reason, finished = fields.get("status"), fields.get("reason"), fields.get("finished_at")
    if not isinstance(status, str) or status not in _STATUSES:
        return None
    return ScanStatus(
        status,
        reason[:MAX_TEXT] if isinstance(reason, str) else "",
        finished if isinstance(finished, str) and _TIME.fullmatch(finished) else "",
    )


def find_scans(folders: list[Path]) -> Iterator[StoredScan]:
    """Yield the scans in folders. Each folder holds the results of one scan, or folders that do.

    Raises:
        UnusableResults: a folder holds no results, or two scans have one id.
        OSError: a folder cannot be read.
    """
    taken: set[str] = set()
    for number, folder in enumerate(folders, 1):
        found = False
        for scan in _scans_in(folder):
            if scan.scan_id in taken:
                raise UnusableResults(f"{scan.scan_id}: given twice")
            taken.add(scan.scan_id)
            found = True
            yield scan
        if not found:
            raise UnusableResults(
                f"folder {number} of {len(folders)} holds no results, expected a folder with {RESULT},"
                " or a folder of such folders"
            )


def _scans_in(folder: Path) -> Iterator[StoredScan]:
    name = os.path.basename(os.path.realpath(folder))
    if _has_results(folder):
        if not re.fullmatch(SCAN_ID, name):
            raise UnusableResults("a folder with results has a name that is no scan id")
        yield StoredScan(name, reader_of(folder))
        return
    with os.scandir(folder) as entries:
        names = sorted(each.name for each in entries if each.is_dir())
    for name in names:
        if re.fullmatch(SCAN_ID, name) and _has_results(folder / name):
            yield StoredScan(name, reader_of(folder / name))


def _has_results(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (RESULT, STATUS, OLDER_RESULT))


def reader_of(folder: Path) -> Read:
    """Return what reads the files of a folder with a scan's results."""

    def read(name: str, max_bytes: int) -> bytes | None:
        try:
            with (folder / name).open("rb") as file:
                data = file.read(max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > max_bytes:
            raise UnusableResults(f"{name.rpartition('/')[2]} has more than {max_bytes} bytes")
        return data

    return read
