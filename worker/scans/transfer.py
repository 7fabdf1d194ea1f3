"""Fetch a scan from storage and publish its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.keys import ScanId, artefact_key, result_key
from worker.storage.base import ObjectChanged, ObjectMissing, ScanMissing, ScanTooLarge, Storage, StoredObject

if TYPE_CHECKING:
    from pose import ScanResult

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
MAX_OBJECTS: Final = 100_000  # of one scan's results
CONTENT_TYPES: Final = {"jpg": "image/jpeg", "json": "application/json", "obj": "model/obj"}


def publish(results: Storage, scan_id: ScanId, result: ScanResult, artefacts: Mapping[str, bytes]) -> int:
    """Store a scan's results, in an order in which `result.json` is there only if all it tells of is.

    What an earlier analysis left is taken away: a picture that is withheld now must not remain from then.
    Gives the number of objects taken away.

    Raises:
        StorageUnavailable.
    """
    new = {artefact_key(scan_id, name): data for name, data in artefacts.items()}
    stored = {each.key for each in results.objects(scan_id, MAX_OBJECTS)}
    old = [key for key in sorted(stored - set(new)) if key.startswith(f"{scan_id}/frames/")]
    if result_key(scan_id) in stored:
        old.insert(0, result_key(scan_id))
    for key in old:
        results.delete(key)
    for key, data in new.items():
        results.write(key, data, CONTENT_TYPES[key.rpartition(".")[2]])
    content = result.model_dump_json(indent=2) + "\n"
    results.write(result_key(scan_id), content.encode(), CONTENT_TYPES["json"])
    return len(old)


def is_complete(results: Storage, scan_id: ScanId, result: ScanResult) -> bool:
    """Whether all is there that a result tells of; somebody may have taken some of it away."""
    wanted = {f"{scan_id}/{name}" for name in result.artefacts}
    return wanted <= {each.key for each in results.objects(scan_id, MAX_OBJECTS)}


def read_result(results: Storage, scan_id: ScanId) -> ScanResult | None:
    """The result that a scan has; None where there is none of it, or none that this version can read.

    Raises:
        StorageUnavailable.
    """
    from pose import ScanResult

    try:
        result = ScanResult.model_validate_json(results.read(result_key(scan_id), MAX_RESULT_BYTES))
    except (ObjectMissing, ScanTooLarge, ValueError):
        return None
    return result if result.scan_id == scan_id else None


FETCH_THREADS: Final = 8


@dataclass(frozen=True)
class Limits:
    """How much of a scan is read at most."""

    object_bytes: int
    scan_bytes: int
    files: int


def fetch_scan(storage: Storage, scan_id: ScanId, limits: Limits) -> dict[str, bytes]:
    """All files of a scan, by their names below it (`rgb/….jpg`). Hidden files are left out.

    Raises:
        ScanMissing, ScanTooLarge, StorageUnavailable: and among the last ObjectChanged.
    """
    found = storage.objects(scan_id, limits.files)
    if not found:
        raise ScanMissing(f"{storage.name} holds no files of this scan")
    if len(found) > limits.files:
        raise ScanTooLarge(f"the scan has more than {limits.files} files")
    start = len(scan_id) + 1
    wanted = [each for each in found if not any(part.startswith(".") for part in each.key[start:].split("/"))]
    if any(each.size > limits.object_bytes for each in wanted):
        raise ScanTooLarge(f"a file of the scan has more than {limits.object_bytes} bytes")
    if sum(each.size for each in wanted) > limits.scan_bytes:
        raise ScanTooLarge(f"the scan has more than {limits.scan_bytes} bytes")
    threads = ThreadPoolExecutor(FETCH_THREADS)
    try:
        contents = list(threads.map(_reader(storage), wanted))
    finally:
        # Not waiting: at the first error, or when time is up, nobody wants the rest.
        threads.shutdown(wait=False, cancel_futures=True)
    return {each.key[start:]: content for each, content in zip(wanted, contents, strict=True)}


def _reader(storage: Storage) -> Callable[[StoredObject], bytes]:
    def read(each: StoredObject) -> bytes:
        # The sum of the sizes was checked, so no file may bring more than it said.
        try:
            return storage.read(each.key, each.size)
        except (ObjectMissing, ScanTooLarge):
            raise ObjectChanged("a file of the scan changed while it was read") from None

    return read
