"""The contract of Storage, over each of its implementations."""

from __future__ import annotations

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
    ScanMissing,
    ScanTooLarge,
    Storage,
    StorageUnavailable,
    StoredObject,
)
from worker.storage.opening import open_storage, open_storages

SCAN = ScanId("scan")

MANY = 1000
ROOMY = Limits(object_bytes=100, scan_bytes=1000, files=10)
OUTSIDE = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", "a\0b", "a\\b"]


@pytest.fixture(params=["file", "s3"])
def open_place(request, tmp_path) -> Callable[[str], Storage]:
    """Opens the storage at a path below a new folder or bucket."""
    if request.param == "file":
        return lambda path: open_storage(url_of_folder(tmp_path / path), "the storage of tests")
    server, place = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_path")
    return lambda path: open_storage(f"s3://{place}/{path}", "the storage of tests", server.endpoint)


@pytest.fixture
def storage(open_place) -> Storage:
    storage = open_place("root/of all")
    storage.write("other/x", b"", "text/plain")  # a local root is there from the first write on
    return storage


def put(storage: Storage, **contents: bytes) -> None:
    for key, data in contents.items():
        storage.write(key.replace("__", "/"), data, "application/octet-stream")


def test_what_was_written_is_read(storage):
    for data in (b"", b"\0\xff" * 500_000):
        storage.write("scan/a/b.bin", data, "application/octet-stream")
        assert storage.read("scan/a/b.bin", len(data)) == data


def test_a_second_write_takes_the_place_of_the_first(storage):
    put(storage, scan__x=b"long before")
    put(storage, scan__x=b"after")
    assert storage.read("scan/x", 100) == b"after"
    assert storage.objects("scan", MANY) == [StoredObject("scan/x", 5)]


def test_all_objects_below_a_folder_are_listed_in_order(storage):
    put(storage, scan__b=b"22", scan__a__c=b"1", scan2__x=b"", sca=b"")
    assert storage.objects("scan", MANY) == [StoredObject("scan/a/c", 1), StoredObject("scan/b", 2)]
    assert storage.objects("scan/a", MANY) == [StoredObject("scan/a/c", 1)]


def test_an_object_that_was_taken_away_is_missing(storage):
    put(storage, scan__a=b"1", scan__b=b"2")
    for _ in range(2):  # what is not there is no error
        storage.delete("scan/a")
    storage.delete("nothing/at/all")
    assert [each.key for each in storage.objects("scan", MANY)] == ["scan/b"]
    with pytest.raises(ObjectMissing):
        storage.read("scan/a", 100)


def test_a_folder_that_is_not_there_has_no_objects(storage):
    put(storage, scan__a=b"")
    assert storage.objects("sca", MANY) == []
    assert storage.objects("scan/a", MANY) == []


def test_listing_stops_soon_after_its_limit(storage):
    put(storage, **{f"scan__{number}": b"" for number in range(7)})
    assert len(storage.objects("scan", 7)) == 7
    assert len(storage.objects("scan", 4)) == 5


def test_folders_right_below_the_root_are_listed_in_order(storage):
    put(storage, scan__x=b"", scan__a__c=b"", sc__x=b"", file=b"")
    assert storage.folders() == ["other", "sc", "scan"]


def test_more_folders_than_fit_on_a_page_are_listed(open_place, storage, monkeypatch):
    if hasattr(storage, "_client"):
        paginate = storage._client.get_paginator("list_objects_v2").paginate

        class Small:
            def paginate(self, **options: object) -> object:
                return paginate(**options, PaginationConfig={"PageSize": 2})

        monkeypatch.setattr(storage._client, "get_paginator", lambda _: Small())
    for number in range(5):
        storage.write(f"s{number}/x", b"", "text/plain")
    assert storage.folders() == ["other", *(f"s{number}" for number in range(5))]


def test_a_storage_that_nothing_was_written_to_has_no_folders(open_place):
    assert open_place("nothing here").folders() == []


def test_an_object_tells_when_it_was_written(storage):
    before = time.time()
    put(storage, scan__x=b"1")
    (found,) = storage.objects("scan", MANY)
    assert found.modified is not None
    assert before - 2 <= found.modified <= time.time() + 2  # S3 tells whole seconds


def test_an_object_that_is_not_there_is_missing(storage):
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
def test_no_key_leads_out_of_the_root(storage, key):
    with pytest.raises(InvalidKey):
        storage.read(key, 100)
    with pytest.raises(InvalidKey):
        storage.write(key, b"", "text/plain")
    with pytest.raises(InvalidKey):
        storage.objects(key, MANY)
    with pytest.raises(InvalidKey):
        storage.delete(key)


def test_names_of_files_may_hold_anything_else(storage):
    key = "scan/rgb_Ä b'\"%2e+&=?#*~$_1_100_2.jpg"
    storage.write(key, b"1", "image/jpeg")
    assert storage.read(key, 1) == b"1"
    assert [each.key for each in storage.objects("scan", MANY)] == [key]


def test_a_storage_sees_nothing_above_its_root(open_place, storage):
    put(storage, scan__x=b"1")
    above = open_place("root")
    assert [each.key for each in above.objects("of all", MANY)] == ["of all/other/x", "of all/scan/x"]
    assert open_place("root/of all/scan").objects("scan", MANY) == []


def test_many_threads_may_write_at_once_and_a_reader_sees_whole_objects(storage):
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


def test_a_scan_that_changes_while_it_is_fetched_may_be_fetched_later(storage, monkeypatch):
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
