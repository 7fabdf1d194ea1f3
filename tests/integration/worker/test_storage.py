"""The contract of Storage for each implementation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.config.settings import read_settings
from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.scans.transfer import Limits, fetch_scan
from worker.storage.base import (
    InvalidKey,
    ObjectChanged,
    ObjectMissing,
    Purged,
    ScanMissing,
    ScanTooLarge,
    Storage,
    StorageUnavailable,
    StoredObject,
)
from worker.storage.local import LocalStorage
from worker.storage.opening import open_storage, open_storages

SCAN = ScanId("scan")

MANY = 1000
ROOMY = Limits(object_bytes=100, scan_bytes=1000, files=10)
OUTSIDE = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", "a\0b", "a\\b"]


@pytest.fixture(params=["file", "s3"])
def open_at(request, tmp_path) -> Callable[[str], Storage]:
    """Return a function that opens the storage at a path below a new folder or prefix."""
    if request.param == "file":
        return lambda path: open_storage(url_of_folder(tmp_path / path), "the storage of tests")
    server, path_of_tests = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_path")
    return lambda path: open_storage(f"s3://{path_of_tests}/{path}", "the storage of tests", server.endpoint)


@pytest.fixture
def storage(open_at) -> Storage:
    storage = open_at("root/of all")
    storage.write("other/x", b"", "text/plain")  # the first write creates a local root
    return storage


def put(storage: Storage, **contents: bytes) -> None:
    for key, data in contents.items():
        storage.write(key.replace("__", "/"), data, "application/octet-stream")


def test_read_returns_what_was_written(storage):
    for data in (b"", b"\0\xff" * 500_000):
        storage.write("scan/a/b.bin", data, "application/octet-stream")
        assert storage.read("scan/a/b.bin", len(data)) == data


def test_a_second_write_replaces_the_first(storage):
    put(storage, scan__x=b"long before")
    put(storage, scan__x=b"after")
    assert storage.read("scan/x", 100) == b"after"
    assert storage.objects("scan", MANY) == [StoredObject("scan/x", 5)]


def test_all_objects_below_a_folder_are_listed_in_order(storage):
    put(storage, scan__b=b"22", scan__a__c=b"1", scan2__x=b"", sca=b"")
    assert storage.objects("scan", MANY) == [StoredObject("scan/a/c", 1), StoredObject("scan/b", 2)]
    assert storage.objects("scan/a", MANY) == [StoredObject("scan/a/c", 1)]


def test_a_deleted_object_is_missing(storage):
    put(storage, scan__a=b"1", scan__b=b"2")
    for _ in range(2):  # deleting what does not exist is no error
        storage.delete("scan/a")
    storage.delete("nothing/at/all")
    assert [each.key for each in storage.objects("scan", MANY)] == ["scan/b"]
    with pytest.raises(ObjectMissing):
        storage.read("scan/a", 100)


def test_a_missing_folder_has_no_objects(storage):
    put(storage, scan__a=b"")
    assert storage.objects("sca", MANY) == []
    assert storage.objects("scan/a", MANY) == []


def test_listing_stops_after_one_object_more_than_the_limit(storage):
    put(storage, **{f"scan__{number}": b"" for number in range(7)})
    assert len(storage.objects("scan", 7)) == 7
    assert len(storage.objects("scan", 4)) == 5


def test_folders_in_the_root_are_listed_in_order(storage):
    put(storage, scan__x=b"", scan__a__c=b"", sc__x=b"", file=b"")
    assert storage.folders() == ["other", "sc", "scan"]


def test_folders_after_a_name_are_listed_some_at_a_time(storage):
    names = ["a", "a-b", "a0", "a_b", "ab", "b"]
    put(storage, **{f"{name}__x": b"" for name in names})
    found, last = [], ""
    while page := storage.folders(last, 2):
        found += page
        last = page[-1]
    # As keys are sorted, where each folder ends in a slash.
    assert found == storage.folders() == ["a-b", "a", "a0", "a_b", "ab", "b", "other"]
    assert storage.folders("a1") == ["a_b", "ab", "b", "other"]


def test_purge_deletes_all_below_a_folder(storage):
    put(storage, scan__x=b"1", scan__a__b__c=b"2", scan2__x=b"3")
    assert storage.purge("scan") == Purged(2)
    assert storage.folders() == ["other", "scan2"]
    assert storage.purge("scan") == storage.purge("nothing") == Purged(0)


def test_a_new_storage_has_no_folders(open_at):
    assert open_at("nothing here").folders() == []


def test_a_listed_object_has_the_time_of_its_last_change(storage):
    before = time.time()
    put(storage, scan__x=b"1")
    (found,) = storage.objects("scan", MANY)
    assert found.modified is not None
    assert before - 2 <= found.modified <= time.time() + 2  # S3 gives whole seconds
    assert found.age_s is not None
    assert -1 <= found.age_s <= time.time() - before + 2


def test_a_file_that_keeps_its_old_time_when_it_is_copied_is_new(tmp_path):
    path = tmp_path / "scan" / "x"
    path.parent.mkdir()
    path.write_bytes(b"1")
    os.utime(path, (0, 0))
    (found,) = LocalStorage(tmp_path, "scans", make_root=False).objects("scan", MANY)
    assert found.modified == 0
    assert found.age_s is not None
    assert found.age_s < 60


def test_reading_a_missing_object_raises(storage):
    put(storage, scan__a=b"")
    for key in ("scan/b", "scan", "scan/a/b", "nothing/at/all"):
        with pytest.raises(ObjectMissing):
            storage.read(key, 100)


def test_an_object_above_the_limit_is_not_read(storage):
    put(storage, scan__x=b"x" * 1001)
    assert len(storage.read("scan/x", 1001)) == 1001
    with pytest.raises(ScanTooLarge):
        storage.read("scan/x", 1000)


@pytest.mark.parametrize("key", OUTSIDE)
def test_keys_outside_of_the_root_are_refused(storage, key):
    with pytest.raises(InvalidKey):
        storage.read(key, 100)
    with pytest.raises(InvalidKey):
        storage.write(key, b"", "text/plain")
    with pytest.raises(InvalidKey):
        storage.objects(key, MANY)
    with pytest.raises(InvalidKey):
        storage.delete(key)
    with pytest.raises(InvalidKey):
        storage.purge(key)


def test_keys_may_contain_any_other_character(storage):
    key = "scan/rgb_Ä b'\"%2e+&=?#*~$_1_100_2.jpg"
    storage.write(key, b"1", "image/jpeg")
    assert storage.read(key, 1) == b"1"
    assert [each.key for each in storage.objects("scan", MANY)] == [key]


def test_folders_and_objects_come_page_by_page_in_the_order_of_their_keys(storage):
    names = [f"a{number:04d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: storage.write(f"{name}/x/1", b"12", "text/plain"), names))
    storage.write("a-b/.hidden", b"1", "text/plain")
    folders = [page for page in storage.folder_pages() if page]
    assert len(folders) == 2
    assert [name for page in folders for name in page] == ["a-b", *names, "other"]
    assert [name for page in storage.folder_pages("a0997") for name in page] == [*names[998:], "other"]
    objects = [page for page in storage.object_pages() if page]
    assert len(objects) == 2
    keys = ["a-b/.hidden", *(f"{name}/x/1" for name in names), "other/x"]
    assert [each.key for page in objects for each in page] == keys
    last, other = [each for page in storage.object_pages("a1098") for each in page]
    assert (last.key, last.size, other.key) == ("a1099/x/1", 2, "other/x")
    assert last == storage.objects("a1099", MANY)[0]
    assert last.modified == storage.objects("a1099", MANY)[0].modified
    assert last.age_s is not None and abs(last.age_s) < 60


def test_a_storage_does_not_see_above_its_root(open_at, storage):
    put(storage, scan__x=b"1")
    above = open_at("root")
    assert [each.key for each in above.objects("of all", MANY)] == ["of all/other/x", "of all/scan/x"]
    assert open_at("root/of all/scan").objects("scan", MANY) == []


def test_readers_see_whole_objects_while_many_threads_write(storage):
    contents = [bytes([letter]) * 50_000 for letter in b"abcdefgh"]
    put(storage, scan__x=contents[0])
    with ThreadPoolExecutor(8) as threads:
        writes = [threads.submit(storage.write, "scan/x", data, "text/plain") for data in contents * 2]
        reads = [threads.submit(storage.read, "scan/x", 50_000) for _ in range(16)]
    assert [write.result() for write in writes] == [None] * 16
    assert {read.result() for read in reads} <= set(contents)


def test_a_scan_is_fetched_whole_and_without_hidden_files(storage):
    put(storage, scan__calibration=b"c", scan__rgb__a=b"1", scan__depth__a=b"2", scan2__x=b"3")
    storage.write("scan/.DS_Store", b"4", "text/plain")
    storage.write("scan/.trash/rgb", b"5", "text/plain")
    assert fetch_scan(storage, SCAN, ROOMY) == {"calibration": b"c", "rgb/a": b"1", "depth/a": b"2"}


def test_a_scan_without_files_is_missing(storage):
    with pytest.raises(ScanMissing, match="the storage of tests holds no files of this scan"):
        fetch_scan(storage, ScanId("nothing"), ROOMY)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(object_bytes=4, scan_bytes=1000, files=10), "more than 4 bytes"),
        (Limits(object_bytes=100, scan_bytes=11, files=10), "more than 11 bytes"),
        (Limits(object_bytes=100, scan_bytes=1000, files=2), "more than 2 files"),
    ],
)
def test_a_scan_above_a_limit_is_not_fetched(storage, limits, reason):
    put(storage, scan__a=b"12345", scan__b=b"12345", scan__c=b"12")
    with pytest.raises(ScanTooLarge, match=reason):
        fetch_scan(storage, SCAN, limits)


def test_a_scan_that_changes_while_it_is_fetched_can_be_fetched_later(storage, monkeypatch):
    put(storage, scan__a=b"12345")
    listed = storage.objects("scan", MANY)
    for before in ([StoredObject("scan/a", 4)], [*listed, StoredObject("scan/b", 1)]):
        monkeypatch.setattr(storage, "objects", lambda *_, before=before: before)
        with pytest.raises(ObjectChanged):
            fetch_scan(storage, SCAN, ROOMY)
    assert issubclass(ObjectChanged, StorageUnavailable)


def test_a_process_opens_its_storages_once(tmp_path):
    settings = read_settings(scans_url=url_of_folder(tmp_path), results_url=url_of_folder(tmp_path / "r"))
    assert open_storages(settings) is open_storages(settings)
    assert [each.name for each in open_storages(settings)] == [
        "the storage of scans",
        "the storage of results",
    ]
