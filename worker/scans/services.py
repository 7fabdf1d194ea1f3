"""Whether a worker can use its storages and its Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.config.urls import FileUrl, parse_storage_url
from worker.keys import parse_scan_id
from worker.ledger.base import LedgerError
from worker.ledger.opening import open_ledger
from worker.storage.base import ObjectMissing, Storage, StorageError
from worker.storage.opening import open_storages

log = get_logger(__name__)

# No scan id: a scan id has no dot.
PROBE_FOLDER: Final = ".worker"
PROBE: Final = f"{PROBE_FOLDER}/probe"
EVERY_S: Final = 5.0
LOG_EVERY: Final = 12  # so many checks


def wait_for_services(
    settings: Settings,
    report: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once this worker can read scans, write results and use the ledger.

    The folder `scans/` here, which is used if SCANS_URL is not set, is made. A folder that SCANS_URL names is
    not: its disk may not be mounted.

    Args:
        settings: Of this process.
        report: Called with what is wrong, after each check.
        sleep: Waits for some seconds.
    """
    if "scans_url" not in settings.model_fields_set:
        location = parse_storage_url(settings.scans_url)
        if isinstance(location, FileUrl):
            with suppress(OSError):  # the check says what is wrong
                location.path.mkdir(exist_ok=True)
    checks = 0
    while (problem := problem_of_services(settings, write=True)) is not None:
        if checks % LOG_EVERY == 0:
            log.error("not_ready", reason=problem)
        report(problem)
        checks += 1
        sleep(EVERY_S)


def problem_of_services(settings: Settings, *, write: bool) -> str | None:
    """Return why a storage or the ledger cannot be used, or None if they can.

    Args:
        settings: Of this process.
        write: Also write a small object into the storage of results, and delete it.
    """
    try:
        scans, results = open_storages(settings)
        try_reading(scans)
        try_reading(results)
        if write:
            results.write(PROBE, b"", "text/plain")
            results.delete(PROBE)
        open_ledger(settings).is_open(parse_scan_id("probe"))
    except (StorageError, LedgerError) as error:
        return str(error)
    return None


def try_reading(storage: Storage) -> None:
    """List a folder and read an object that are not there: both need the rights to do it."""
    storage.objects(PROBE_FOLDER, 0)
    with suppress(ObjectMissing):
        storage.read(PROBE, 1)
