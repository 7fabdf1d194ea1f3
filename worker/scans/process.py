"""Fetch, analyse and publish one scan. This module knows no queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.config.logs import get_logger
from worker.keys import ScanId
from worker.scans.completeness import check_complete, digest_of
from worker.scans.page import MakePage, stored_artefacts
from worker.scans.status import Stage
from worker.scans.transfer import (
    Limits,
    add_page,
    check_sizes,
    fetch_files,
    is_complete,
    list_scan,
    publish,
    read_result,
)
from worker.storage.base import Storage
from worker.time_limit import blamed_on
from worker.tracing import span

if TYPE_CHECKING:
    from pose import Estimator, FaceDetector, ScanResult

log = get_logger(__name__)

# Takes the stage, the number of frames done, and the number of frames or None until it is known.
Report = Callable[[Stage, int, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """The result of a scan, whether an earlier attempt had made it, and the seconds of the stages."""

    result: ScanResult
    repeated: bool
    seconds: dict[str, float] = field(default_factory=dict)


def process(
    scan_id: ScanId,
    scans: Storage,
    results: Storage,
    estimator: Estimator,
    limits: Limits,
    report: Report,
    *,
    compare_with: Estimator | None = None,
    face_detector: FaceDetector | None = None,
    quality_limits: str = "all",
    force: bool = False,
    xor_key: bytes | None = None,
    quiet_s: float = 0.0,
    note_files: Callable[[str], None] = lambda _: None,
    make_page: MakePage | None = None,
) -> Outcome:
    """Analyse a scan and store its results. Running it twice stores the same objects.

    Args:
        scan_id: The scan.
        scans: Storage of scans.
        results: Storage of results.
        estimator: Finds the people.
        limits: Largest scan that is read.
        report: Called with each step of progress.
        compare_with: A second estimator, which is only compared with the first.
        face_detector: Finds the faces of people whom the estimator misses; None: the default one.
        quality_limits: A name of `pose.analysis.quality.LIMITS`: which frames count for the figures.
        force: Analyse the scan even if its result, from the same files and models, is in storage.
        quiet_s: See `worker.scans.completeness`.
        note_files: Called with the digest of the list of files.
        make_page: Makes the page that is stored beside the result; None: there is none.
        xor_key: Undoes the scrambling of artefacts, see `pose.read_scan`.

    Raises:
        pose.InvalidScan: The files are not a valid scan.
        ScanMissing: The scan has no files.
        ScanIncomplete: Not all its files are there.
        ScanTooLarge: The scan is above the limits.
        StorageUnavailable: One of the storages cannot be used.
        TimeLimitReached: The time limit struck. It names the storage if that took the time.
    """
    import pose
    from pose.analysis.frame import Options
    from pose.analysis.quality import LIMITS
    from pose.analysis.scan import fingerprint_of

    seconds: dict[str, float] = {}
    report(Stage.FETCH, 0, None)
    with _step("scan_fetched", seconds, Stage.FETCH) as fields:
        with blamed_on(scans.name):
            listed = list_scan(scans, scan_id, limits)
            note_files(digest_of(listed))
            check_sizes(scans, listed, limits)
            check_complete(scans, scan_id, listed, quiet_s)
            files = fetch_files(scans, scan_id, listed)
        fields.update(files=len(files), bytes=sum(map(len, files.values())))

    scan = pose.read_scan_files(files, xor_key=xor_key)
    if scan.ignored:
        log.warning("files_ignored", reasons=scan.ignored)
    if face_detector is None:
        face_detector = pose.load_face_detector()
    options = Options(limits=LIMITS[quality_limits])
    fingerprint = fingerprint_of(
        scan, estimator, options, compare_with=compare_with, face_detector=face_detector
    )
    earlier = None if force else read_result(results, scan_id)
    if earlier is not None and earlier.fingerprint == fingerprint and is_complete(results, scan_id, earlier):
        log.info("scan_done_already")
        if make_page is not None:
            with blamed_on(results.name):
                add_page(results, scan_id, lambda: make_page(earlier, stored_artefacts(results, scan_id)))
        return Outcome(earlier, repeated=True)

    def frame_done(done: int, total: int) -> None:
        report(Stage.ANALYSE, done, total)

    frames = len(scan.frames) + len(scan.broken)
    with _step("scan_analysed", seconds, Stage.ANALYSE) as fields:
        analysis = pose.analyse_scan(
            scan,
            estimator,
            compare_with=compare_with,
            face_detector=face_detector,
            scan_id=scan_id,
            fingerprint=fingerprint,
            options=options,
            progress=frame_done,
        )
        result, page = analysis.result, None
        if make_page is not None:
            page = make_page(result, lambda name, _: analysis.artefacts.get(name))
        fields.update(
            posture=result.posture, frames=frames, frames_used=result.frames_used, verdict=result.verdict
        )
    if result.drift is not None and result.drift.alarm:
        log.warning("models_disagree", **result.drift.model_dump(exclude={"model", "alarm"}))

    report(Stage.PUBLISH, frames, frames)
    with _step("scan_published", seconds, Stage.PUBLISH) as fields, blamed_on(results.name):
        removed = publish(results, scan_id, result, analysis.artefacts, page)
        fields.update(objects=len(analysis.artefacts) + 1 + (page is not None), removed=removed)
    return Outcome(result, repeated=False, seconds=seconds)


@contextmanager
def _step(event: str, seconds: dict[str, float], stage: Stage) -> Iterator[dict[str, object]]:
    """Log a step when it is done, with its duration and the fields that the block sets. Note the duration."""
    fields: dict[str, object] = {}
    start = time.perf_counter()
    with span(stage.value):
        yield fields
    seconds[stage.value] = time.perf_counter() - start
    log.info(event, seconds=round(seconds[stage.value], 3), **fields)
