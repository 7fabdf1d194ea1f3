"""Make the pages of scans, and the index of them."""

from __future__ import annotations

from typing import Final

from pose.report.index import Entry, entry_of, render_index
from pose.report.page import render_page
from pose.report.pictures import frame_pictures
from pose.report.stored import ScanStatus, StoredScan, UnusableResults
from pose.report.texts import Texts
from pose.results import ScanResult

INDEX: Final = "index.html"
PAGE: Final = "report.html"  # in the folder of the scan


class Reports:
    """The pages of scans that lie in one folder, and the index that links to them.

    Attributes:
        pages: number of pages made.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._entries: list[Entry] = []
        self.pages = 0

    def page(self, scan: StoredScan) -> str | None:
        """Return the page of a scan, or None if it has no result. Remember its row of the index.

        Raises:
            UnusableResults: its result cannot be read. The row says so.
            OSError: a file cannot be read.
        """
        try:
            result, status = scan.result(), scan.status()
            page = None if result is None else self._render(result, scan)
        except (UnusableResults, OSError) as error:
            reason = str(error) if isinstance(error, UnusableResults) else "its files cannot be read"
            self._entries.append(entry_of(scan.scan_id, ScanStatus("failed", reason), None))
            raise
        address = "" if page is None else f"{scan.scan_id}/{PAGE}"
        self._entries.append(entry_of(scan.scan_id, status, result, address))
        self.pages += page is not None
        return page

    def _render(self, result: ScanResult, scan: StoredScan) -> str:
        return render_page(result, frame_pictures(result, scan.read), self._texts, f"../{INDEX}")

    def index(self) -> str:
        """Return the index of the scans whose pages were made."""
        return render_index(self._entries, self._texts)
