"""One scan, from its files to its results: fetch, analyse, publish. Knows no queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from billiard.exceptions import SoftTimeLimitExceeded

from worker.logs import get_logger
from worker.messages import artefact_key, result_key
from worker.status import Stage
from worker.storage import Limits, ObjectMissing, ScanTooLarge, Storage, StorageUnavailable, fetch_scan

if TYPE_CHECKING:
    from pose import Estimator, ScanResult

log = get_logger(__name__)

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
MAX_OBJECTS: Final = 100_000  # of one scan's results
CONTENT_TYPES: Final = {"jpg": "image/jpeg", "json": "application/json", "obj": "model/obj"}

# Called with the stage, the frames done and the number of frames, None until it is known.
Report = Callable[[Stage, int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """A scan's result, and whether it had been there already."""

    result: ScanResult
    repeated: bool


def process(
    scan_id: str,
    scans: Storage,
    results: Storage,
    estimator: Estimator,
    limits: Limits,
    report: Report,
    *,
    compare_with: Estimator | None = None,
    force: bool = False,
) -> Outcome:
    """Analyse a scan and store what comes out, `result.json` last. Doing it twice writes the same objects.

    A scan whose result is there already, from the same files by the same model, is not analysed again, unless
    `force` is set.

    Raises:
        pose.InvalidScan, ScanMissing, ScanTooLarge: the scan cannot be used.
        StorageUnavailable: one of the storages cannot.
    """
    import pose
    from pose.analysis import fingerprint_of

    report(Stage.FETCH, 0, None)
    with _step("scan_fetched") as fields:
        try:
            files = fetch_scan(scans, scan_id, limits)
        except SoftTimeLimitExceeded:
            # No fault of the scan, of which nothing was looked at yet.
            raise StorageUnavailable(f"{scans.name}: too slow, the time limit came first") from None
        fields.update(files=len(files), bytes=sum(map(len, files.values())))

    scan = pose.read_scan_files(files)
    fingerprint = fingerprint_of(scan, estimator, compare_with=compare_with)
    earlier = None if force else finished_result(results, scan_id)
    if earlier is not None and earlier.fingerprint == fingerprint and _is_whole(results, earlier):
        log.info("scan_done_already")
        return Outcome(earlier, repeated=True)

    def frame_done(done: int, total: int) -> None:
        report(Stage.ANALYSE, done, total)

    frames = len(scan.frames) + len(scan.broken)
    with _step("scan_analysed") as fields:
        analysis = pose.analyse_scan(
            scan,
            estimator,
            compare_with=compare_with,
            scan_id=scan_id,
            fingerprint=fingerprint,
            progress=frame_done,
        )
        result = analysis.result
        fields.update(posture=result.posture, frames=frames, frames_used=result.frames_used)
    if result.drift is not None and result.drift.alarm:
        log.warning("models_disagree", **result.drift.model_dump(exclude={"model", "alarm"}))

    report(Stage.PUBLISH, frames, frames)
    with _step("scan_published") as fields:
        removed = publish(results, result, analysis.artefacts)
        fields.update(objects=len(analysis.artefacts) + 1, removed=removed)
    return Outcome(result, repeated=False)


def publish(results: Storage, result: ScanResult, artefacts: Mapping[str, bytes]) -> int:
    """Store a scan's results, in an order in which `result.json` is there only if all it tells of is.

    What an earlier analysis left is taken away: a picture that is withheld now must not remain from then.
    Gives the number of objects taken away.

    Raises:
        StorageUnavailable.
    """
    scan_id = result.scan_id
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


def _is_whole(results: Storage, result: ScanResult) -> bool:
    """Whether all is there that a result tells of; somebody may have taken some of it away."""
    wanted = {f"{result.scan_id}/{name}" for name in result.artefacts}
    return wanted <= {each.key for each in results.objects(result.scan_id, MAX_OBJECTS)}


def finished_result(results: Storage, scan_id: str) -> ScanResult | None:
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


@contextmanager
def _step(event: str) -> Iterator[dict[str, object]]:
    """Log a step once it is done, with its seconds and the fields that it sets."""
    fields: dict[str, object] = {}
    start = time.perf_counter()
    yield fields
    log.info(event, seconds=round(time.perf_counter() - start, 3), **fields)
