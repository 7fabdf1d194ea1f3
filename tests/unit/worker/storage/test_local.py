from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from worker.storage.base import ObjectMissing, StorageUnavailable
from worker.storage.local import DRAFT, LocalStorage

SECRET = b"of somebody else"


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root" / "scan").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(SECRET)
    return tmp_path / "root"


@pytest.fixture
def storage(root) -> LocalStorage:
    return LocalStorage(root, "the storage of tests", make_root=False)


def test_links_are_not_followed(storage, root):
    (root / "scan" / "file").symlink_to(root.parent / "elsewhere" / "file")
    (root / "scan" / "folder").symlink_to(root.parent / "elsewhere")
    (root / "linked").symlink_to(root.parent / "elsewhere")
    assert storage.objects("scan", 10) == []
    assert storage.objects("linked", 10) == []
    for key in ("scan/file", "scan/folder/file", "linked/file"):
        with pytest.raises(ObjectMissing):
            storage.read(key, 100)


def test_nothing_is_written_or_deleted_through_a_link(storage, root):
    elsewhere = root.parent / "elsewhere"
    (root / "scan" / "file").symlink_to(elsewhere / "file")
    (root / "scan" / "folder").symlink_to(elsewhere)
    # A link with the name of an object is replaced; its target is not changed.
    storage.write("scan/file", b"ours", "text/plain")
    assert not (root / "scan" / "file").is_symlink()
    with pytest.raises(StorageUnavailable):
        storage.write("scan/folder/new", b"ours", "text/plain")
    storage.delete("scan/folder/file")
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {"file": SECRET}


def test_the_root_itself_may_be_a_link(root):
    (root.parent / "link").symlink_to(root)
    LocalStorage(root.parent / "link", "", make_root=False).write("scan/x", b"1", "text/plain")
    assert (root / "scan" / "x").read_bytes() == b"1"


def test_a_folder_that_cannot_be_read_is_not_listed_as_empty(storage, root, monkeypatch):
    # Simulated, because the tests may run as a superuser, who can read everything.
    storage.write("scan/rgb/picture", b"1", "image/jpeg")
    storage.write("scan/file", b"1", "text/plain")
    opened = os.open

    def refused(path: str, *arguments: Any, **options: Any) -> int:
        if path == "rgb":
            raise PermissionError(errno.EACCES, "")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StorageUnavailable, match="the storage of tests: Permission denied"):
        storage.objects("scan", 10)


def test_endlessly_nested_folders_are_listed_up_to_a_limit(storage, root):
    storage.write("scan/file", b"1", "text/plain")
    folder = os.open(root / "scan", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    try:
        assert [each.key for each in storage.objects("scan", 10)] == ["scan/file"]
    finally:
        # shutil.rmtree is recursive, and pytest cleans up with it.
        for _ in range(1499):
            (root / "scan/d/d").rename(root / "scan/e")
            (root / "scan/d").rmdir()
            (root / "scan/e").rename(root / "scan/d")


def test_a_folder_whose_name_is_no_key_is_skipped(storage, root):
    (root / "scan" / "a\\b").mkdir()
    (root / "scan" / "a\\b" / "file").write_bytes(b"1")
    assert storage.objects("scan", 10) == []


def test_a_named_pipe_is_no_object_and_does_not_block(storage, root):
    os.mkfifo(root / "scan" / "pipe")
    assert storage.objects("scan", 10) == []
    with pytest.raises(ObjectMissing):
        storage.read("scan/pipe", 10)


def test_a_missing_root_is_an_unavailable_storage(tmp_path):
    storage = LocalStorage(tmp_path / "not" / "mounted", "the storage of scans", make_root=False)
    for call in (
        lambda: storage.objects("scan", 10),
        lambda: storage.read("scan/x", 10),
        lambda: storage.write("scan/x", b"", "text/plain"),
    ):
        with pytest.raises(StorageUnavailable, match="the storage of scans: its folder does not exist"):
            call()
    assert not (tmp_path / "not").exists()


def test_folders_leaves_out_links_and_raises_for_a_missing_root(storage, root, tmp_path):
    (root / "link").symlink_to(root / "scan")
    assert storage.folders() == ["scan"]
    away = LocalStorage(tmp_path / "not" / "mounted", "the storage of scans", make_root=False)
    with pytest.raises(StorageUnavailable, match="its folder does not exist"):
        away.folders()


def test_a_root_to_be_created_is_empty_until_the_first_write(tmp_path):
    storage = LocalStorage(tmp_path / "not" / "made", "the storage of results", make_root=True)
    assert storage.objects("scan", 10) == []
    with pytest.raises(ObjectMissing):
        storage.read("scan/x", 10)
    assert not (tmp_path / "not").exists()
    storage.write("scan/x", b"1", "text/plain")
    assert storage.read("scan/x", 10) == b"1"


def test_a_failed_write_leaves_the_old_object_and_no_draft(storage, root, monkeypatch):
    storage.write("scan/x", b"old", "text/plain")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device", "/srv/scans/rgb_p1_1_100_1.jpg")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable) as error:
        storage.write("scan/x", b"new", "text/plain")
    assert str(error.value) == "the storage of tests: No space left on device"
    assert error.value.__cause__ is None
    assert {path.name: path.read_bytes() for path in (root / "scan").iterdir()} == {"x": b"old"}


def test_the_draft_of_a_killed_process_is_no_object(storage, root):
    (root / "scan" / ".draft-1234").write_bytes(b"half")
    assert storage.objects("scan", 10) == []


def test_purge_removes_drafts_of_killed_workers_and_follows_no_links(tmp_path):
    outside, scan = tmp_path / "outside", tmp_path / "root" / "scan" / "frames"
    outside.mkdir()
    (outside / "kept").write_bytes(b"1")
    scan.mkdir(parents=True)
    (scan / f"{DRAFT}1").write_bytes(b"half")
    (scan / "link").symlink_to(outside)
    assert LocalStorage(tmp_path / "root", "results", make_root=True).purge("scan").problem is None
    assert not scan.parent.exists()
    assert (outside / "kept").exists()
