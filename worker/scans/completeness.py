"""Whether all files of a scan are in storage: an upload takes a while, and may be announced before its end.

With a `scan.json`, all files that it names must be there. Without one, nobody knows how many come, so no file
may have come for `ARRIVALS_QUIET_S`, however the scan was announced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from worker.keys import ScanId
from worker.storage.base import ObjectChanged, ObjectMissing, ScanTooLarge, Storage, StoredObject


class ScanIncomplete(Exception):
    """Raised when files of a scan are still to come.

    Attributes:
        wait_s: Seconds after which it may be complete; None if that is not known.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(reason)


def check_complete(storage: Storage, scan_id: ScanId, files: Sequence[StoredObject], quiet_s: float) -> None:
    """Return if a scan is complete.

    Args:
        storage: Of scans.
        scan_id: The scan.
        files: All its files, at least one, as the storage lists them.
        quiet_s: A scan without `scan.json` is complete if no file came for so many seconds, by the clock of
            the storage.

    Raises:
        ScanIncomplete: It is not.
        StorageUnavailable: The storage cannot be used.
    """
    start = len(scan_id) + 1
    keys = {each.key[start:]: each for each in files}
    named, there = _count_named(storage, keys)
    if there < named:
        raise ScanIncomplete(f"incomplete: {there} of {named} files")
    if named:
        return
    # Two clocks, of which one gives whole seconds: a new file may seem to be from the future.
    age_s = max(0.0, min((each.age_s for each in files if each.age_s is not None), default=quiet_s))
    if age_s < quiet_s:
        raise ScanIncomplete("incomplete: its files are still coming", wait_s=quiet_s - age_s)


def digest_of(files: Sequence[StoredObject]) -> str:
    """Return a digest of the list of a scan's files. It changes when a file is added, replaced or removed."""
    lines = sorted(f"{each.size} {each.modified} {each.key}" for each in files)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _count_named(storage: Storage, files: Mapping[str, StoredObject]) -> tuple[int, int]:
    """Return how many files the `scan.json` names, and how many of them are there; 0 and 0 without one."""
    from pose.errors import InvalidManifest
    from pose.scan.files import MemoryFiles
    from pose.scan.manifest import manifest_from_json
    from pose.scan.record import MANIFEST

    names = MemoryFiles(dict.fromkeys(files, b""))
    record = names.find(MANIFEST)
    if record is None:
        return 0, 0
    try:
        entries = manifest_from_json(_read(storage, files[record]), names.find).entries
    except InvalidManifest:
        return 0, 0  # It may still be written. If it is not, the scan fails when it is read.
    named = {name for entry in entries for name in (entry.rgb, entry.depth) if name is not None}
    return len(named), len(named & files.keys())


def _read(storage: Storage, file: StoredObject) -> bytes:
    try:
        return storage.read(file.key, file.size)
    except (ObjectMissing, ScanTooLarge):
        raise ObjectChanged("a file of the scan changed while it was read") from None
