"""A folder gives the files of a scan and no others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pose.errors import InvalidManifest, InvalidPicture
from pose.scan.files import FolderFiles, MemoryFiles, ScanFiles
from pose.scan.record import MAX_FILES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    scan = tmp_path / "scan"
    (scan / "rgb").mkdir(parents=True)
    (scan / "rgb/a.jpg").write_bytes(b"12345")
    (scan / "notes.txt").write_bytes(b"")
    (scan / "scan.json").write_bytes(b"{}")
    return scan


def read(files: ScanFiles, name: str, limit: int = 100) -> bytes:
    return files.read(name, limit, "rgb of frame 1", InvalidPicture)


def test_the_files_of_a_scan_are_listed_and_other_folders_are_named(folder: Path):
    (folder / "Depth").mkdir()
    (folder / "Depth/b.depth").touch()
    (folder / "rgb/more").mkdir()
    (folder / "rgb/more/c.jpg").touch()
    (folder / "results").mkdir()
    (folder / "results/d.jpg").touch()
    assert sorted(FolderFiles(folder).names()) == [
        "Depth/b.depth", "notes.txt", "results/", "rgb/a.jpg", "rgb/more/", "scan.json",
    ]  # fmt: skip
    assert MemoryFiles({"rgb/": b"", "rgb/a.jpg": b""}).names() == ["rgb/a.jpg"]


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_file_is_read_within_its_limit(folder: Path, kind: str):
    files = FolderFiles(folder) if kind == "folder" else MemoryFiles({"rgb/a.jpg": b"12345"})
    assert files.exists("rgb/a.jpg") and not files.exists("rgb/b.jpg")
    assert read(files, "rgb/a.jpg", 5) == b"12345"
    with pytest.raises(InvalidPicture, match="rgb of frame 1: size: 5 bytes"):
        read(files, "rgb/a.jpg", 4)
    with pytest.raises(InvalidPicture, match="missing"):
        read(files, "rgb/b.jpg")


@pytest.mark.parametrize(
    "name", ["../outside.jpg", "rgb/../../outside.jpg", "/etc/passwd", "", ".", "rgb//a.jpg", "a\0b"]
)
def test_names_that_lead_outside_are_missing_files(folder: Path, name: str):
    with pytest.raises(InvalidPicture, match="missing"):
        read(FolderFiles(folder), name)


def test_links_are_followed_inside_and_refused_outside(folder: Path):
    (folder / "rgb/in.jpg").symlink_to("a.jpg")
    (folder / "rgb/out.jpg").symlink_to(folder.parent / "outside.jpg")
    (folder / "rgb/up").symlink_to("../..")
    (folder / "rgb/loop.jpg").symlink_to("loop.jpg")
    (folder / "rgb/gone.jpg").symlink_to("nowhere.jpg")
    files = FolderFiles(folder)
    assert read(files, "rgb/in.jpg") == b"12345"
    with pytest.raises(InvalidPicture, match="leads out"):
        read(files, "rgb/out.jpg")
    with pytest.raises(InvalidPicture, match="leads out"):
        read(files, "rgb/up/outside.jpg")
    for name in ("rgb/loop.jpg", "rgb/gone.jpg"):
        with pytest.raises(InvalidPicture, match="missing"):
            read(files, name)


def test_a_folder_that_is_a_link_to_the_outside_is_not_listed(folder: Path):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "depth_p_1_100_1.depth").write_bytes(b"")
    (folder / "depth").symlink_to(elsewhere)
    assert [name for name in FolderFiles(folder).names() if name.startswith("depth")] == ["depth/"]


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_file_is_found_by_a_name_that_people_take_as_the_same(folder: Path, kind: str):
    stored = ["rgb/a.jpg", "rgb/Zoe\u0308.JPG", "rgb/B.jpg", "rgb/b.JPG", "rgb\\c.jpg", "Camera.TXT"]
    for name in stored:
        (folder / name).touch()
    files = FolderFiles(folder) if kind == "folder" else MemoryFiles(dict.fromkeys(stored, b""))
    assert files.find("RGB/A.JPG") == "rgb/a.jpg"
    assert files.find("rgb/zoë.jpg") == "rgb/Zoe\u0308.JPG"
    assert files.find("rgb/c.jpg") == "rgb\\c.jpg"
    assert files.find("camera.txt") == "Camera.TXT"
    assert files.find("rgb/b.JPG") == "rgb/b.JPG"
    assert files.find("rgb/b.jpg") == "rgb/B.jpg"  # always the same one of two
    assert files.find("rgb/d.jpg") is None
    assert files.find("../outside.jpg") is None


def test_the_folder_of_a_scan_may_be_a_link(folder: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(folder)
    assert read(FolderFiles(tmp_path / "link"), "rgb/a.jpg") == b"12345"


def test_pipes_and_folders_are_not_read(folder: Path):
    os.mkfifo(folder / "rgb/pipe.jpg")
    os.mknod(folder / "rgb/socket.jpg", stat.S_IFSOCK | 0o600)
    (folder / "rgb/folder.jpg").mkdir()
    for name in ("rgb/pipe.jpg", "rgb/socket.jpg", "rgb/folder.jpg"):
        with pytest.raises(InvalidPicture, match="not a regular file"):
            read(FolderFiles(folder), name)


def test_what_is_not_a_folder_is_refused(folder: Path):
    for path in (folder / "scan.json", folder / "nothing"):
        with pytest.raises(InvalidManifest) as caught:
            FolderFiles(path)
        assert str(folder) not in str(caught.value)


def test_too_many_files_are_not_listed(folder: Path):
    for index in range(MAX_FILES):
        (folder / f"rgb/{index}").touch()
    with pytest.raises(InvalidManifest, match="too many"):
        FolderFiles(folder).names()
    with pytest.raises(InvalidManifest, match="at most"):
        MemoryFiles({str(index): b"" for index in range(MAX_FILES + 1)}).names()
