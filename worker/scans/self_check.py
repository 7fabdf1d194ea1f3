"""A process checks itself: it analyses a small scan that is known to be good.

After an error that may be the scan's or the process's, this tells the two apart. What can be wrong with a
process: its device has failed, so that each further call to it fails; it can start no thread; it can open no
file; its memory is full.
"""

from __future__ import annotations

import errno
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.keys import parse_scan_id
from worker.models.loading import get_comparison_estimator, get_estimator
from worker.scans.failures import has_descriptors
from worker.scans.transfer import Limits, fetch_scan
from worker.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from pose import Estimator

log = get_logger(__name__)

# One rendered frame of a standing person; no scan of a real one.
ARCHIVE: Final = "known_good_scan.zip"
NAME: Final = parse_scan_id("known-good")
_LIMITS: Final = Limits(object_bytes=10**6, scan_bytes=10**6, files=10)
_people: dict[tuple[int, str, str], list[int]] = {}  # found by the first check of a process, in each frame


class ProcessUnfit(Exception):
    """Raised when this process cannot analyse the known good scan. The text says why, for a person."""


@dataclass(frozen=True)
class OwnProcess:
    """The process that works on a scan.

    Attributes:
        name: That no other process has.
        replaceable: If it ends, its worker starts another one. A task that is called without a pool has none.
        check: Raises ProcessUnfit if this process cannot work.
    """

    name: str
    replaceable: bool
    check: Callable[[], None]


def check_process(settings: Settings) -> None:
    """Analyse the known good scan with the models of this process.

    Raises:
        ProcessUnfit: That failed.
    """
    started = time.perf_counter()
    try:
        analyse_known_good(get_estimator(settings), get_comparison_estimator(settings))
    except Exception as error:
        log.exception("self_check_failed")
        raise ProcessUnfit(f"it cannot analyse the built-in scan: {type(error).__name__}") from None
    log.info("self_check_passed", seconds=round(time.perf_counter() - started, 2))


def analyse_known_good(estimator: Estimator, compare_with: Estimator | None = None) -> None:
    """Do with the known good scan what is done with each scan, from its files to its pictures.

    Raises:
        Exception: Of any kind; a ValueError if the frame could not be used, or if other people are found in
            it than at the first time.
    """
    import pose

    if not has_descriptors():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    # `fetch_scan` starts threads. A process that cannot start any must not pass.
    scan = pose.read_scan_files(fetch_scan(MemoryStorage(known_good()), NAME, _LIMITS))
    analysis = pose.analyse_scan(scan, estimator, compare_with=compare_with, scan_id=NAME)
    if not scan.frames or not analysis.artefacts:
        raise ValueError("the frame of the built-in scan could not be used")
    found = [len(frame.people) for frame in analysis.result.frames]
    if found != _people.setdefault((os.getpid(), estimator.name, estimator.version), found):
        raise ValueError("the model finds other people in the built-in scan than when the process started")


@cache
def known_good() -> dict[str, bytes]:
    """Return the files of the built-in scan, by their keys in a storage of scans."""
    data = (files("worker") / "data" / ARCHIVE).read_bytes()
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return {f"{NAME}/{name}": archive.read(name) for name in archive.namelist()}
