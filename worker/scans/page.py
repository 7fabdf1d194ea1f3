"""The page that shows a scan's result, stored beside it with `REPORT=1`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from worker.config.logs import get_logger
from worker.config.settings import Settings
from worker.keys import ScanId, artefact_key
from worker.storage.base import ObjectMissing, ScanTooLarge, Storage, StorageUnavailable

if TYPE_CHECKING:
    from pose import ScanResult
    from pose.report.stored import Read
    from pose.report.texts import Texts

log = get_logger(__name__)

# Takes a result and what reads its artefacts.
MakePage = Callable[["ScanResult", "Read"], bytes | None]


def page_maker(settings: Settings) -> MakePage | None:
    """Return what makes the page of a scan, or None if no page is wanted."""
    if not settings.report:
        return None
    from pose.report.texts import load_texts

    return partial(_make_page, load_texts(settings.report_language, settings.report_catalogues))


def _make_page(texts: Texts, result: ScanResult, read: Read) -> bytes | None:
    """Return the page. An error in it is told and gives None: it must not keep the result back."""
    from pose.report.page import render_page
    from pose.report.pictures import frame_pictures

    try:
        return render_page(result, frame_pictures(result, read), texts).encode()
    except (StorageUnavailable, MemoryError):
        raise
    except Exception:
        log.exception("page_failed")
        return None


def stored_artefacts(results: Storage, scan_id: ScanId) -> Read:
    """Return what reads the stored artefacts of a scan.

    It raises StorageUnavailable if the storage of results cannot be used.
    """

    def read(name: str, max_bytes: int) -> bytes | None:
        try:
            return results.read(artefact_key(scan_id, name), max_bytes)
        except (ObjectMissing, ScanTooLarge):
            return None

    return read
