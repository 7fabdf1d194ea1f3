"""One scan, from its files to its results: fetch, analyse, publish. Knows no queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from billiard.exceptions import SoftTimeLimitExceeded

from worker.config.logs import get_logger
from worker.keys import ScanId
from worker.scans.status import Stage
from worker.scans.transfer import Limits, fetch_scan, is_complete, publish, read_result
from worker.storage.base import Storage, StorageUnavailable

if TYPE_CHECKING:
    from pose import Estimator, ScanResult

log = get_logger(__name__)

# Called with the stage, the frames done and the number of frames, None until it is known.
Report = Callable[[Stage, int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """A scan's result, and whether it had been there already."""

    result: ScanResult
    repeated: bool


def process(
    scan_id: ScanId,
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
    from pose.analysis.scan import fingerprint_of

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
    earlier = None if force else read_result(results, scan_id)
    if earlier is not None and earlier.fingerprint == fingerprint and is_complete(results, scan_id, earlier):
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
        removed = publish(results, scan_id, result, analysis.artefacts)
        fields.update(objects=len(analysis.artefacts) + 1, removed=removed)
    return Outcome(result, repeated=False)


@contextmanager
def _step(event: str) -> Iterator[dict[str, object]]:
    """Log a step once it is done, with its seconds and the fields that it sets."""
    fields: dict[str, object] = {}
    start = time.perf_counter()
    yield fields
    log.info(event, seconds=round(time.perf_counter() - start, 3), **fields)
