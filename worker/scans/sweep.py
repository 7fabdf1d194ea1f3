"""The sweep: look through the storage of scans for what the ledger does not know.

It makes two walks, in slices of seconds. Cursors in the ledger say where the next slice begins.

- The names: an unfinished scan that is not open in the ledger was lost there, or never announced. The status
  of a scan is read until it is finished; after that the index has the scan.
- The files: a finished scan whose files are others than those that were analysed is to be analysed again.

A call lists 1000 names or files. The walks make 1000 and 750 calls a day at most. So the names of 10^6 scans
are looked through once a day, and those of 10^4 scans each `QUEUE_LEASE_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from worker.config.settings import Settings
from worker.config.urls import FileUrl, S3Url, parse_storage_url
from worker.keys import SCAN_ID, ScanId, scan_ids_in
from worker.ledger.base import Ledger
from worker.scans.completeness import digest_of
from worker.scans.look import DAY_S, Found, Look, Looker
from worker.scans.sweep_index import NO_DIGEST, UNKNOWN, Hashes, SweepIndex, hashes_of, short_digest
from worker.scans.transfer import without_hidden
from worker.storage.base import PAGE, Storage, StoredObject

NAMES: Final = "sweep-names"
FILES: Final = "sweep-files"
INDEX: Final = "sweep"

SLICE_S: Final = 10.0
NAME_PAGES_A_DAY: Final = 1000
FILE_PAGES_A_DAY: Final = 750
FEW_PAGES: Final = 10  # a walk of so many pages is made each `QUEUE_LEASE_S`
FILE_PAGES: Final = 20  # of one slice
THREADS: Final = 8
GROUP: Final = 64  # scans between two looks at the clock
MAX_FAILURES: Final = 3  # so many storage errors in a row mean that the whole storage is away
MAX_LATER: Final = 10_000

Files = list[StoredObject]


class Sweep:
    """Finds scans that are to be sent. Use it from one thread, and with the lock SWEEPER.

    Args:
        settings: Of this process.
        ledger: Of this process.
        scans: Storage of scans.
        results: Storage of results.
        clock: Returns seconds of the epoch; the clock of the ledger by default.
        monotonic: Returns seconds, for the length of a slice.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        scans: Storage,
        results: Storage,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self._settings = settings
        self._scans = scans
        self._clock = clock or ledger.now
        self._looker = Looker(settings, ledger, scans, results, self._clock)
        self._monotonic = monotonic
        self._no_scan = _folder_of_results(settings)
        self._index = SweepIndex.from_bytes(None)
        self._later: dict[ScanId, float] = {}
        self._names_due = self._files_due = False
        # Where the walks are: the last folder that is done, or None at the end.
        self._names_at: str | None = None
        self._files_at: str | None = None
        # Of this turn: its names, if all slices were made here, and its pages.
        self._seen: list[Hashes] | None = None
        self._pages = 0

    def is_due(self) -> bool:
        """Return whether there is something to do now. `next_slice` does it."""
        lease_s = self._settings.queue_lease_s
        cursor = self.ledger.cursor(NAMES)
        if cursor is None and self.ledger.begins(NAMES, lease_s):
            cursor = ""
            self._begin_turn()
            self.ledger.set_cursor(NAMES, cursor)
        if cursor != self._names_at:  # another process made a slice
            self._names_at, self._seen = cursor, None
        self._names_due = cursor is not None
        self._files_due = self.ledger.begins(FILES, lease_s)
        return self._names_due or self._files_due or bool(self._due_later())

    def next_slice(self) -> Iterator[Found]:
        """Yield what is found in some seconds, after `is_due` returned True."""
        until = self._monotonic() + SLICE_S
        self._load_index()
        try:
            due = self._due_later()
            for start in range(0, len(due), GROUP):
                yield from self._look_at(due[start : start + GROUP])
            if self._names_due:
                yield from self._walk_names(until)
            if self._files_due:
                self._files_at = self.ledger.cursor(FILES) or ""
                yield from self._walk_files(FILE_PAGES)
        finally:
            self._save()

    def whole_turn(self) -> Iterator[Found]:
        """Yield what is found in a whole turn through the names, and in as many files as in a day."""
        self._load_index()
        self._begin_turn()
        self._names_due = self._files_due = True
        try:
            yield from self._walk_names(float("inf"))
            self._files_at = begin = self.ledger.cursor(FILES) or ""
            yield from self._walk_files(FILE_PAGES_A_DAY)
            if begin and self._files_at is None:
                self._files_at = ""
                yield from self._walk_files(FILE_PAGES_A_DAY, until=begin)
        finally:
            self._save()

    def _begin_turn(self) -> None:
        self._names_at, self._seen, self._pages = "", [], 0

    def _walk_names(self, until: float) -> Iterator[Found]:
        for names in self._scans.folder_pages(self._names_at or ""):
            scan_ids = [each for each in scan_ids_in(names) if each != self._no_scan]
            hashes = hashes_of(scan_ids)
            self._pages += 1
            if self._seen is not None:
                self._seen.append(hashes)
            known = self._index.find(hashes)
            unknown = [
                scan_id
                for scan_id, digest in zip(scan_ids, known, strict=True)
                if digest == UNKNOWN and scan_id not in self._later
            ]
            for start in range(0, len(unknown), GROUP):
                group = unknown[start : start + GROUP]
                self._names_at = group[-1]
                yield from self._look_at(group)
                if self._monotonic() >= until:
                    return
            if not names:
                continue
            self._names_at = names[-1]
            if self._monotonic() >= until:
                return
        self._names_at = None
        if self._seen:
            self._index.keep(np.concatenate(self._seen))
        # This process may have made some of the slices only.
        pages = max(self._pages, len(self._index) // PAGE)
        self.ledger.rest(NAMES, self._pause_s(pages, NAME_PAGES_A_DAY))

    def _walk_files(self, pages: int, until: str = "") -> Iterator[Found]:
        begin, done = self._files_at, 0
        for done, (last, page) in enumerate(self._pages_of_scans(begin or ""), start=1):
            yield from self._compare(page)
            self._files_at = last
            if (done >= pages and last != begin) or (until and f"{last}/" >= f"{until}/"):
                break
        else:
            self._files_at = None
        self.ledger.rest(FILES, self._pause_s(done, FILE_PAGES_A_DAY))

    def _pages_of_scans(self, after: str) -> Iterator[tuple[str, list[tuple[ScanId, Files]]]]:
        """Yield the scans that end on each page of a listing, with their files, and the last folder done."""
        name, files, last = "", Files(), after
        pages = self._scans.object_pages(after)
        while (page := next(pages, None)) is not None:
            scans: list[tuple[ScanId, Files]] = []
            for each in page:
                folder, slash, _ = each.key.partition("/")
                if not slash:
                    continue  # a file beside the scans
                if folder != name:
                    scans += self._scan(name, files)
                    last = name or last
                    name, files = folder, []
                files.append(each)
            if name and (len(files) > self._settings.max_scan_files or not self._is_scan(name)):
                # Nobody needs the rest of this folder.
                pages = self._scans.object_pages(name)
                last, name, files = name, "", []
            yield last, scans
        if name:
            yield name, self._scan(name, files)

    def _scan(self, name: str, files: Files) -> list[tuple[ScanId, Files]]:
        if len(files) > self._settings.max_scan_files or not self._is_scan(name):
            return []
        return [(scan_id, files) for scan_id in scan_ids_in([name])]

    def _is_scan(self, name: str) -> bool:
        return SCAN_ID.fullmatch(name) is not None and name != self._no_scan

    def _compare(self, scans: Sequence[tuple[ScanId, Files]]) -> Iterator[Found]:
        known = self._index.find(hashes_of(scan_id for scan_id, _ in scans))
        others = {
            scan_id: files
            for (scan_id, files), digest in zip(scans, known, strict=True)
            if digest not in (UNKNOWN, NO_DIGEST)
            and short_digest(digest_of(without_hidden(files, scan_id))) != digest
        }
        return self._look_at(list(others), lambda scan_id: self._looker.compare(scan_id, others[scan_id]))

    def _look_at(
        self, scan_ids: Sequence[ScanId], look: Callable[[ScanId], Look] | None = None
    ) -> Iterator[Found]:
        """Look at scans, several at a time. Note what is found before it is yielded."""
        if not scan_ids:
            return
        opened = self.ledger.open_among(scan_ids)
        for scan_id in opened:
            self._later.pop(scan_id, None)  # it has a deadline
        wanted = [scan_id for scan_id in scan_ids if scan_id not in opened]
        with ThreadPoolExecutor(THREADS) as threads:
            looks = list(threads.map(look or self._looker.look, wanted))
        failures = 0
        for scan_id, key, found in zip(wanted, hashes_of(wanted), looks, strict=True):
            failures = failures + 1 if found.error else 0
            self._later.pop(scan_id, None)
            if found.digest is not None:
                self._index.put(int(key), found.digest)
            if found.again_at is not None and len(self._later) < MAX_LATER:
                self._later[scan_id] = found.again_at
            if found.error and failures == MAX_FAILURES:
                raise found.error
        yield from (each.found for each in looks if each.found)

    def _due_later(self) -> list[ScanId]:
        now = self._clock()
        return [scan_id for scan_id, again_at in self._later.items() if again_at <= now]

    def _load_index(self) -> None:
        self._index = SweepIndex.from_bytes(self.ledger.notes(INDEX))

    def _save(self) -> None:
        if self._names_due:
            self.ledger.set_cursor(NAMES, self._names_at)
        if self._files_due:
            self.ledger.set_cursor(FILES, self._files_at or None)
        if self._index.changed:
            self.ledger.set_notes(INDEX, self._index.to_bytes())
        self._index = SweepIndex.from_bytes(None)  # between two slices, memory is for others

    def _pause_s(self, pages: int, pages_a_day: int) -> float:
        lease_s = self._settings.queue_lease_s
        return lease_s if pages <= FEW_PAGES else max(lease_s, pages * DAY_S / pages_a_day)


def _folder_of_results(settings: Settings) -> str | None:
    """Return the folder beside the scans that is no scan, but is or contains the storage of results."""
    scans, results = parse_storage_url(settings.scans_url), parse_storage_url(settings.results_url)
    below = ""
    if isinstance(scans, S3Url) and isinstance(results, S3Url):
        if scans.bucket == results.bucket and results.prefix.startswith(scans.prefix):
            below = results.prefix[len(scans.prefix) :]
    elif isinstance(scans, FileUrl) and isinstance(results, FileUrl):  # noqa: SIM102  one line a case
        if results.path.is_relative_to(scans.path):
            below = str(results.path.relative_to(scans.path))
    return below.partition("/")[0] or None
