"""Fetch a scan from storage, and publish its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.config.settings import Settings
from worker.keys import ScanId, artefact_key, page_key, result_key
from worker.storage.base import ObjectChanged, ObjectMissing, ScanMissing, ScanTooLarge, Storage, StoredObject

if TYPE_CHECKING:
    from pose import ScanResult

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
MAX_OBJECTS: Final = 100_000  # of the results of one scan
CONTENT_TYPES: Final = {
    "jpg": "image/jpeg", "png": "image/png", "json": "application/json", "obj": "model/obj",
    "html": "text/html; charset=utf-8",
}  # fmt: skip
FETCH_THREADS: Final = 8
PUBLISH_THREADS: Final = 8
LAST_CALLS_S: Final = 1.0


@dataclass(frozen=True)
class Limits:
    """Largest scan that is read: bytes of one object, bytes of all objects, number of files."""

    object_bytes: int
    scan_bytes: int
    files: int


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings give."""
    return Limits(settings.max_object_bytes, settings.max_scan_bytes, settings.max_scan_files)


def fetch_scan(storage: Storage, scan_id: ScanId, limits: Limits) -> dict[str, bytes]:
    """Return the files of a scan by their names (`rgb/….jpg`), without hidden files.

    Raises: as `list_scan`, `check_sizes` and `fetch_files`.
    """
    files = list_scan(storage, scan_id, limits)
    check_sizes(storage, files, limits)
    return fetch_files(storage, scan_id, files)


def list_scan(storage: Storage, scan_id: ScanId, limits: Limits) -> list[StoredObject]:
    """Return the files of a scan, without hidden files.

    Raises:
        ScanTooLarge: There are too many.
        StorageUnavailable: The storage of scans cannot be used.
    """
    found = storage.objects(scan_id, limits.files)
    if len(found) > limits.files:
        raise ScanTooLarge(f"the scan has more than {limits.files} files")
    return without_hidden(found, scan_id)


def without_hidden(files: Sequence[StoredObject], scan_id: ScanId) -> list[StoredObject]:
    """Return the files of a scan without those that are hidden, or in a hidden folder."""
    start = len(scan_id) + 1
    # Hardly any is: look at the whole key first.
    return [each for each in files if "/." not in each.key[start - 1 :]]


def check_sizes(storage: Storage, files: Sequence[StoredObject], limits: Limits) -> None:
    """Return if the files of a scan can be read.

    Raises:
        ScanMissing: There are none.
        ScanTooLarge: They are above the limits.
    """
    if not files:
        raise ScanMissing(f"{storage.name} holds no files of this scan")
    if any(each.size > limits.object_bytes for each in files):
        raise ScanTooLarge(f"a file of the scan has more than {limits.object_bytes} bytes")
    if sum(each.size for each in files) > limits.scan_bytes:
        raise ScanTooLarge(f"the scan has more than {limits.scan_bytes} bytes")


def fetch_files(storage: Storage, scan_id: ScanId, wanted: Sequence[StoredObject]) -> dict[str, bytes]:
    """Return the content of files that `list_scan` listed, by their names.

    Raises:
        ObjectChanged: A file changed while it was read.
        StorageUnavailable: The storage of scans cannot be used.
    """
    start = len(scan_id) + 1

    def read(each: StoredObject) -> bytes:
        # The limits were checked with the listed sizes, so no file may be larger than listed.
        try:
            return storage.read(each.key, each.size)
        except (ObjectMissing, ScanTooLarge):
            raise ObjectChanged("a file of the scan changed while it was read") from None

    threads = ThreadPoolExecutor(FETCH_THREADS)
    try:
        return {
            each.key[start:]: content for each, content in zip(wanted, threads.map(read, wanted), strict=True)
        }
    finally:
        # Do not wait after an error or at the time limit: nobody needs the other files.
        threads.shutdown(wait=False, cancel_futures=True)


def publish(
    results: Storage,
    scan_id: ScanId,
    result: ScanResult,
    artefacts: Mapping[str, bytes],
    page: bytes | None = None,
) -> int:
    """Store the results of a scan: first the artefacts and the page, then `result.json`, which names them.

    Delete what an earlier analysis left: a picture that is withheld now must not remain, also not in a page.
    `result.json` goes first, so it never stands beside files of another analysis.

    Returns:
        The number of deleted objects.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    new = {artefact_key(scan_id, name): data for name, data in artefacts.items()}
    if page is not None:
        new[page_key(scan_id)] = page
    stored = {each.key for each in results.objects(scan_id, MAX_OBJECTS)}
    old = [key for key in sorted(stored - set(new)) if _is_of_analysis(key, scan_id)]
    if result_key(scan_id) in stored:
        old.insert(0, result_key(scan_id))
    if old and old[0] == result_key(scan_id):
        results.delete(old[0])

    def write(key: str) -> None:
        results.write(key, new[key], CONTENT_TYPES[key.rpartition(".")[2]])

    _in_parallel([(results.delete, key) for key in old if key != result_key(scan_id)])
    _in_parallel([(write, key) for key in new])
    content = result.model_dump_json(indent=2) + "\n"
    results.write(result_key(scan_id), content.encode(), CONTENT_TYPES["json"])
    return len(old)


def _is_of_analysis(key: str, scan_id: ScanId) -> bool:
    """Return whether an analysis stored this object, other than `result.json`."""
    return key.startswith(f"{scan_id}/frames/") or key == page_key(scan_id)


def add_page(results: Storage, scan_id: ScanId, make: Callable[[], bytes | None]) -> None:
    """Store the page of a scan that has a result, if it has no page yet and one could be made.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    if page_key(scan_id) not in {each.key for each in results.objects(scan_id, MAX_OBJECTS)}:
        page = make()
        if page is not None:
            results.write(page_key(scan_id), page, CONTENT_TYPES["html"])


def _in_parallel(calls: Sequence[tuple[Callable[[str], None], str]]) -> None:
    """Call functions with a key each, in several threads. Raise the first error."""
    threads = ThreadPoolExecutor(PUBLISH_THREADS)
    futures = [threads.submit(function, key) for function, key in calls]
    try:
        for future in futures:
            future.result()
    finally:
        # After an error or at the time limit: begin no other call, and let those that have begun end, so that
        # they change nothing after this attempt. Do not wait long for a storage that does not answer.
        threads.shutdown(wait=False, cancel_futures=True)
        wait(futures, LAST_CALLS_S)


def remove_results(results: Storage, scan_id: ScanId) -> None:
    """Delete what an analysis stored, or a part of it: first `result.json`, then the artefacts.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    results.delete(result_key(scan_id))
    found = results.objects(scan_id, MAX_OBJECTS)
    _in_parallel([(results.delete, each.key) for each in found if _is_of_analysis(each.key, scan_id)])


def read_result(results: Storage, scan_id: ScanId) -> ScanResult | None:
    """Return the stored result of a scan, or None if there is none that this version can read.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    from pose import ScanResult

    try:
        result = ScanResult.model_validate_json(results.read(result_key(scan_id), MAX_RESULT_BYTES))
    except (ObjectMissing, ScanTooLarge, ValueError):
        return None
    return result if result.scan_id == scan_id else None


def is_complete(results: Storage, scan_id: ScanId, result: ScanResult) -> bool:
    """Return whether all artefacts of a result are in storage."""
    wanted = {f"{scan_id}/{name}" for name in result.artefacts}
    return wanted <= {each.key for each in results.objects(scan_id, MAX_OBJECTS)}
