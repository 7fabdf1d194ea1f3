from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from worker.config.settings import read_settings
from worker.keys import ScanId, status_key
from worker.ledger.sqlite import SqliteLedger
from worker.scans import sweep as module
from worker.scans.completeness import digest_of
from worker.scans.status import ScanStatus, Status, write_status
from worker.scans.sweep import FILES, NAMES, Sweep
from worker.scans.tombstones import write_tombstone
from worker.storage.base import StorageUnavailable, StoredObject
from worker.storage.memory import MemoryStorage

LEASE_S = 900.0
DAY_S = 86_400.0


class Listed(MemoryStorage):
    """Objects with dates, in pages of four. It counts the calls."""

    def __init__(self, clock) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.modified: dict[str, float] = {}
        self.unreadable: set[str] = set()
        self._clock = clock

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        self.calls["objects"] += 1
        return [self._dated(each) for each in super().objects(folder, limit)]

    def read(self, key: str, max_bytes: int) -> bytes:
        self.calls["read"] += 1
        if key.partition("/")[0] in self.unreadable:
            raise StorageUnavailable("it is archived")
        return super().read(key, max_bytes)

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        names = self.folders(after)
        for start in range(0, len(names), 4) or [0]:
            self.calls["folder page"] += 1
            yield names[start : start + 4]

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        found = [
            self._dated(each)
            for name in self.folders(after)
            for each in super(Listed, self).objects(name, 10**6)
        ]
        for start in range(0, len(found), 4) or [0]:
            self.calls["object page"] += 1
            yield found[start : start + 4]

    def _dated(self, each: StoredObject) -> StoredObject:
        modified = self.modified.get(each.key, 0.0)
        return StoredObject(each.key, each.size, modified, self._clock() - modified)


class World:
    def __init__(self, folder, **settings: object) -> None:
        self.now = 1e9
        self.settings = read_settings(**{"queue_lease_s": LEASE_S, "arrivals_quiet_s": 0.0, **settings})
        self.ledger = SqliteLedger(folder / "ledger", 60.0, clock=self.clock)
        self.scans, self.results = Listed(self.clock), Listed(self.clock)
        self.sweep = self.new_sweep()

    def clock(self) -> float:
        return self.now

    def new_sweep(self) -> Sweep:
        return Sweep(self.settings, self.ledger, self.scans, self.results, self.clock, self.clock)

    def put(self, scan_id: str, status: Status | None = Status.COMPLETED, files: int = 2) -> None:
        """Store a scan that ended long ago."""
        for number in range(files):
            self.scans.write(f"{scan_id}/{number:04d}.jpg", b"1", "")
        if status is not None:
            self.finish(scan_id, status, self.now - 10 * DAY_S)

    def finish(self, scan_id: str, status: Status, at: float) -> None:
        fields = {
            "scan_id": scan_id,
            "status": status,
            "files": digest_of(self.scans.objects(scan_id, 10**6)),
            "updated_at": datetime.fromtimestamp(at, UTC),
            "finished_at": datetime.fromtimestamp(at, UTC) if status.final else None,
        }
        write_status(self.results, ScanStatus.model_validate(fields))

    def change(self, scan_id: str, name: str = "late.jpg") -> None:
        self.scans.write(f"{scan_id}/{name}", b"2", "")
        self.scans.modified[f"{scan_id}/{name}"] = self.now

    def slice(self) -> list[tuple[ScanId, bool]] | None:
        return list(self.sweep.next_slice()) if self.sweep.is_due() else None

    def turn(self) -> list[tuple[ScanId, bool]]:
        self.scans.calls.clear()
        self.results.calls.clear()
        return list(self.new_sweep().whole_turn())


@pytest.fixture
def world(here) -> World:
    return World(here)


def test_the_status_of_a_finished_scan_is_read_once(world):
    for number in range(9):
        world.put(f"scan-{number}", Status.FAILED if number % 2 else Status.COMPLETED)
    assert world.turn() == []
    assert world.results.calls["read"] == 9
    assert world.turn() == []
    assert world.results.calls["read"] == 0
    assert world.scans.calls == {"folder page": 3, "object page": 5}


def test_a_new_scan_among_finished_ones_is_found(world):
    for number in range(9):
        world.put(f"scan-{number}")
    assert world.turn() == []
    world.put("scan-55", None)
    world.put("scan-66", Status.QUEUED)
    assert world.turn() == [("scan-55", False), ("scan-66", False)]


def test_a_lost_index_is_made_again_from_the_statuses(world):
    for number in range(9):
        world.put(f"scan-{number}")
    world.turn()
    world.ledger.set_notes("sweep", b"something else")
    world.put("scan-1", Status.QUEUED)
    assert world.turn() == [("scan-1", False)]
    assert world.turn() == [("scan-1", False)]
    assert world.results.calls["read"] == 1


def test_scans_that_are_open_in_the_ledger_are_left_to_their_deadlines(world):
    world.put("open", Status.QUEUED)
    world.ledger.set_deadline(ScanId("open"), world.now + 1)
    assert world.turn() == []
    assert world.results.calls["read"] == 0


def test_a_scan_that_a_lost_ledger_forgot_is_open_again(world):
    world.put("scan", Status.QUEUED)
    world.finish("scan", Status.PROGRESS, world.now - LEASE_S + 10)
    assert world.turn() == []
    assert world.ledger.overdue(world.now + 10) == ["scan"]


def test_a_slice_goes_on_where_the_last_one_stopped_also_in_another_process(world, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 3)
    monkeypatch.setattr(module, "SLICE_S", 0.0)
    for number in range(10):
        world.put(f"scan-{number}", None if number in (2, 9) else Status.COMPLETED)
    found: list[tuple[ScanId, bool]] = []
    for count in range(20):
        if count == 2:
            world.sweep = world.new_sweep()
        some = world.slice()
        if some is None:
            break
        found += some
    assert found == [("scan-2", False), ("scan-9", False)]
    assert world.results.calls["read"] == 10 + 2  # of the two, also the tombstones
    assert world.ledger.cursor(NAMES) is None


def test_a_small_storage_is_looked_through_each_lease(world):
    world.put("scan")
    assert world.slice() == []
    assert world.slice() is None
    world.now += LEASE_S + 1
    world.put("new", None)
    assert world.slice() == [("new", False)]


def test_a_large_storage_costs_so_many_calls_of_each_walk_a_day(world, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 4)
    monkeypatch.setattr(module, "NAME_PAGES_A_DAY", 100)
    monkeypatch.setattr(module, "FILE_PAGES_A_DAY", 100)
    for number in range(100):
        world.put(f"scan-{number:03d}", files=3)
    pages = Counter[str]()
    for _ in range(int(DAY_S / 900)):
        world.scans.calls.clear()
        world.slice()
        pages.update(world.scans.calls)
        world.now += 900
    assert 80 <= pages["folder page"] <= 125
    assert 80 <= pages["object page"] <= 120


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED])
def test_files_that_came_long_after_the_end_are_found_once(world, end):
    for number in range(9):
        world.put(f"scan-{number}", end)
    assert world.turn() == []
    world.change("scan-4")
    assert world.turn() == [("scan-4", True)]
    assert world.results.calls["read"] == 1
    world.finish("scan-4", end, world.now)
    assert world.turn() == []
    assert world.turn() == []
    assert world.results.calls["read"] == 0


def test_so_is_a_file_that_was_removed_or_replaced(world):
    for number in range(9):
        world.put(f"scan-{number}", files=3)
    assert world.turn() == []
    world.scans.delete("scan-2/0001.jpg")
    world.change("scan-6", "0001.jpg")
    assert world.turn() == [("scan-2", True), ("scan-6", True)]


def test_files_that_are_still_coming_are_looked_at_again(here):
    world = World(here, arrivals_quiet_s=10.0)
    world.put("scan")
    assert world.slice() == []
    world.now += LEASE_S + 1
    world.change("scan")
    assert world.slice() == []
    world.now += LEASE_S + 1
    assert world.slice() == [("scan", True)]


def test_hidden_files_change_nothing(world):
    world.put("scan")
    world.turn()
    world.change("scan", ".DS_Store")
    assert world.turn() == []


def test_the_walk_through_the_files_goes_on_where_it_stopped(world, monkeypatch):
    monkeypatch.setattr(module, "FILE_PAGES", 2)
    for number in range(9):
        world.put(f"scan-{number}")
    world.turn()
    for number in range(9):
        world.change(f"scan-{number}")
    found: list[tuple[ScanId, bool]] = []
    for count in range(20):
        if count == 2:
            world.sweep = world.new_sweep()
        found += world.slice() or []
        for scan_id, _ in found:
            world.ledger.set_deadline(scan_id, 1e12)
        world.now += LEASE_S + 1
        if world.ledger.cursor(FILES) is None and count > 2:
            break
    assert found == [(f"scan-{number}", True) for number in range(9)]


def test_a_folder_with_more_files_than_a_scan_may_have_stops_nothing(here):
    world = World(here, max_scan_files=5)
    for scan_id in ("a", "b", "c"):
        world.put(scan_id, files=100 if scan_id == "b" else 3)
    world.put("not a scan", None, files=100)
    assert world.turn() == []
    world.change("c")
    assert world.turn() == [("c", True)]
    assert world.scans.calls["object page"] < 12


def test_results_beside_the_scans_are_not_listed(here):
    world = World(here, results_url=(here / "scans" / "out" / "results").as_uri())
    for scan_id in ("a", "z"):
        world.put(scan_id)
    world.put("out", None, files=400)
    assert world.turn() == []
    world.change("z")
    assert world.turn() == [("z", True)]
    assert world.scans.calls["object page"] < 12


def test_scans_that_were_deleted_leave_the_index(world):
    for number in range(9):
        world.put(f"scan-{number}")
    world.turn()
    before = world.ledger.notes("sweep")
    for number in range(5):
        world.scans.purge(f"scan-{number}")
    world.turn()
    after = world.ledger.notes("sweep")
    assert len(before) - len(after) == 5 * 12


def test_a_scan_that_nobody_announced_yet_is_looked_at_when_it_is_due(world):
    world.put("scan", None)
    for key in ("scan/0000.jpg", "scan/0001.jpg"):
        world.scans.modified[key] = world.now
    assert world.slice() == []
    assert not world.ledger.is_open(ScanId("scan"))
    world.now += LEASE_S
    assert world.slice() == [("scan", False)]


def test_a_scan_that_was_erased_is_looked_at_once(world):
    world.put("scan", None)
    write_tombstone(world.results, ScanId("scan"))
    assert world.turn() == []
    assert world.turn() == []
    assert world.results.calls["read"] == 0


def test_statuses_that_cannot_be_read_stop_no_slice_for_ever(world, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 3)
    names = [f"scan-{number}" for number in range(10)]
    for name in names:
        world.put(name, None if name == "scan-9" else Status.COMPLETED)
    world.results.unreadable = set(names[:6])
    found: list[tuple[ScanId, bool]] = []
    for _ in range(3):
        try:
            found += world.slice() or []
        except StorageUnavailable:
            continue
    assert found == [("scan-9", False)]
    world.results.unreadable = set()
    world.finish("scan-2", Status.QUEUED, world.now - DAY_S)
    world.now += LEASE_S
    assert ("scan-2", False) in (world.slice() or [])


def test_a_status_that_is_no_status_counts_as_none(world):
    world.put("scan")
    world.results.write(status_key(ScanId("scan")), b"\xff", "")
    assert world.turn() == [("scan", False)]
