"""Make the pages of scans, and the index of them."""

from __future__ import annotations

from typing import Final

from pose.report.index import Entry, entry_of, render_index
from pose.report.page import render_page, stamp_of
from pose.report.pictures import frame_pictures
from pose.report.stored import ScanStatus, StoredScan, UnusableResults
from pose.report.texts import Texts

INDEX: Final = "index.html"
PAGE: Final = "report.html"  # in the folder of the scan


class Reports:
    """The pages of scans that lie in one folder, and the index that links to them.

    Attributes:
        made: number of pages made.
        kept: number of pages that needed no change.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._entries: dict[str, Entry] = {}
        self.made = 0
        self.kept = 0

    @property
    def scans(self) -> int:
        """Number of scans, with and without a page."""
        return len(self._entries)

    def has_page(self, scan_id: str) -> bool:
        """Return whether the index links to a page of this scan."""
        return bool(self._entries[scan_id].page)

    def page(self, scan: StoredScan, earlier: str = "") -> str | None:
        """Return the page of a scan. Remember its row of the index.

        Args:
            scan: the scan.
            earlier: the first 4096 characters of its page, if there is one.

        Returns:
            The page; None if the scan has no result, or if its earlier page shows the same.

        Raises:
            UnusableResults: its result cannot be read. The row says so.
            OSError: a file cannot be read. The row says so.
        """
        try:
            result, status = scan.result(), scan.status()
            page = None
            if result is not None and stamp_of(result, self._texts) not in earlier:
                page = render_page(result, frame_pictures(result, scan.read), self._texts, f"../{INDEX}")
        except (UnusableResults, OSError) as error:
            reason = str(error) if isinstance(error, UnusableResults) else "its files cannot be read"
            self._entries[scan.scan_id] = entry_of(scan.scan_id, ScanStatus("failed", reason), None)
            raise
        address = "" if result is None else f"{scan.scan_id}/{PAGE}"
        self._entries[scan.scan_id] = entry_of(scan.scan_id, status, result, address)
        self.made += page is not None
        self.kept += result is not None and page is None
        return page

    def index(self) -> str:
        """Return the index of the scans whose pages were made."""
        return render_index(self._entries.values(), self._texts)
