"""Scans are read from a folder or from memory; a broken frame does not affect the others."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose.errors import InvalidCalibration, InvalidManifest, InvalidScan
from pose.scan import reader
from pose.scan.calibration import Calibration
from pose.scan.reader import read_scan, read_scan_files
from tests.support.cases import case

ScanBuilder = Callable[..., dict[str, bytes]]
DepthBuilder = Callable[..., bytes]

PERSON = "Zoë_Müller_100_7"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def as_record(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The same scan with a scan.json, under names that tell nothing."""
    renamed = {"camera_calibration.txt": files["camera_calibration.txt"]}
    artifacts = []
    for index, name in enumerate(sorted(name for name in files if "/" in name)):
        renamed[f"artefact-{index}"] = files[name]
        order = int(name.rsplit("_", 1)[1].split(".")[0]) - 1
        kind = "application/zip" if name.startswith("depth") else "image/jpeg"
        artifacts.append({"id": str(index), "order": order, "file": f"artefact-{index}", "format": kind})
    record = {"id": "s1", "type": 100, "version": "v0.7", "artifacts": artifacts} | changes
    return renamed | {"scan.json": json.dumps(record).encode()}


def test_the_plush_scan_is_read(plush: Path):
    scan = read_scan(plush)
    assert [frame.order for frame in scan.frames] == [0, 1, 2]
    assert [frame.step for frame in scan.frames] == [100, 101, 101]
    assert scan.broken == ()
    assert scan.declared == "standing"
    for frame in scan.frames:
        assert frame.rgb.shape == (1080, 1440, 3)
        assert frame.picture_size == (1440, 1080)
        assert frame.depthmap.depth.shape == (180, 240)


def test_a_folder_and_the_same_bytes_in_memory_are_the_same_scan(tmp_path: Path, make_scan: ScanBuilder):
    files = make_scan(frames=3, step=204)
    one, other = read_scan(write(tmp_path, files)), read_scan_files(files)
    assert one.digest == other.digest
    assert one.step == other.step == 204
    assert one.declared == "lying"
    for a, b in zip(one.frames, other.frames, strict=True):
        assert a.order == b.order
        assert (a.rgb == b.rgb).all() and (a.depthmap.depth == b.depthmap.depth).all()
        assert a.rgb[10, 10, 0] > 150  # red to the left: RGB, not BGR
    assert [float(frame.depthmap.depth[0, 0]) for frame in one.frames] == pytest.approx([1.0, 1.1, 1.2])


def test_a_record_and_the_names_of_files_give_the_same_scan(tmp_path: Path, make_scan: ScanBuilder):
    files = make_scan(frames=2)
    by_names, by_record = read_scan_files(files), read_scan(write(tmp_path, as_record(files)))
    assert by_record.digest == by_names.digest
    assert len(by_record.frames) == 2


def test_a_frame_keeps_the_order_that_the_record_gives_it(make_scan: ScanBuilder):
    files = as_record(make_scan(frames=2))
    record = json.loads(files["scan.json"])
    for artefact in record["artifacts"]:
        artefact["order"] = 9 - artefact["order"]
    scan = read_scan_files(files | {"scan.json": json.dumps(record).encode()})
    assert [frame.order for frame in scan.frames] == [8, 9]
    assert float(scan.frames[0].depthmap.depth[0, 0]) == pytest.approx(1.1)


def test_ir_scans_are_read_by_their_version(make_scan: ScanBuilder):
    files = as_record(make_scan(frames=1), version="ir_1.2")
    files["artefact-0"] = np.full(240 * 180, 1500, "<u2").tobytes()
    frame = read_scan_files(files).frames[0]
    assert frame.depthmap.depth == pytest.approx(np.full((180, 240), 1.5))
    assert not frame.depthmap.pose_known


def test_the_digest_depends_on_every_byte_but_not_on_the_persons_code(make_scan: ScanBuilder):
    digest = read_scan_files(make_scan()).digest
    assert read_scan_files(make_scan(person="somebody_else")).digest == digest
    assert read_scan_files(make_scan(step=101)).digest != digest
    assert read_scan_files(make_scan(frames=1)).digest != digest
    changed = make_scan()
    changed["camera_calibration.txt"] += b" "
    assert read_scan_files(changed).digest != digest


def damage(files: dict[str, bytes], folder: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    name = sorted(name for name in files if name.startswith(folder))[1]
    return files | {name: change(files[name])}


@pytest.mark.parametrize("folder", ["rgb", "depth"])
def test_a_broken_frame_does_not_break_the_others(make_scan: ScanBuilder, folder: str):
    files = damage(make_scan(frames=3, person=PERSON), folder, lambda data: data[: len(data) // 2])
    scan = read_scan_files(files)
    assert [frame.order for frame in scan.frames] == [0, 2]
    (broken,) = scan.broken
    assert (broken.order, broken.step) == (1, 100)
    assert broken.reason.startswith(f"{folder} of frame 1: ")


def test_a_picture_with_pixels_missing_is_a_broken_frame_and_prints_nothing(
    make_scan: ScanBuilder, capfd: pytest.CaptureFixture[str]
):
    files = make_scan(frames=3)
    first = min(name for name in files if name.startswith("rgb"))
    files[first] = files[first][:-60] + b"\xff\xd9"
    scan = read_scan_files(files)
    assert [frame.order for frame in scan.frames] == [1, 2]
    assert "rgb of frame 0: pixels: " in scan.broken[0].reason
    assert "premature end of data segment" in scan.broken[0].reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("folder", ["rgb", "depth"])
def test_a_frame_that_lacks_a_file_is_broken(make_scan: ScanBuilder, folder: str):
    files = make_scan(frames=2)
    del files[next(name for name in files if name.startswith(folder))]
    scan = read_scan_files(files)
    assert [frame.order for frame in scan.frames] == [1]
    assert scan.broken[0].reason == f"{folder} of frame 0: file: missing"


def test_no_error_contains_the_persons_code(tmp_path: Path, make_scan: ScanBuilder):
    good = make_scan(frames=3, person=PERSON)
    bad = damage(good, "rgb", lambda _: b"no picture")
    scan = read_scan(write(tmp_path / PERSON, damage(bad, "depth", lambda _: b"no depth")))
    texts = [broken.reason for broken in scan.broken]
    for files in (
        {name: b"x" if "/" in name else data for name, data in good.items()},
        {name: data for name, data in good.items() if name.startswith("rgb")},
        good | {"camera_calibration.txt": PERSON.encode()},
        good | {"scan.json": json.dumps({"id": PERSON, "type": -1}).encode()},
        good | {"scan.json": json.dumps({"id": PERSON, "type": PERSON}).encode()},
    ):
        with pytest.raises(InvalidScan) as caught:
            read_scan_files(files)
        texts.append(f"{caught.value}{caught.value.args}")
    assert len(texts) == 6
    assert not any("Zo" in text or "ller" in text for text in texts)


def test_a_link_that_leads_out_of_a_scan_breaks_its_frame(tmp_path: Path, make_scan: ScanBuilder):
    files = make_scan(frames=2)
    folder = write(tmp_path / "scan", files)
    name = next(name for name in files if name.startswith("rgb"))
    (folder / name).rename(tmp_path / "elsewhere.jpg")
    (folder / name).symlink_to(tmp_path / "elsewhere.jpg")
    scan = read_scan(folder)
    assert [frame.order for frame in scan.frames] == [1]
    assert "leads out" in scan.broken[0].reason


@pytest.mark.parametrize("name", ["camera_calibration.txt.txt", "Camera calibration.txt", "calibration.txt"])
def test_a_calibration_of_another_name_is_not_called_missing(make_scan: ScanBuilder, name: str):
    files = make_scan()
    files[name] = files.pop("camera_calibration.txt")
    with pytest.raises(InvalidCalibration) as caught:
        read_scan_files(files)
    assert str(caught.value) == (
        "calibration: file: not found by its name; there is one of a similar name "
        "(expected camera_calibration.txt in the scan's folder)"
    )


def test_an_empty_file_is_called_so(make_scan: ScanBuilder):
    files = make_scan(frames=2)
    for folder in ("rgb", "depth"):
        scan = read_scan_files(damage(files, folder, lambda _: b""))
        told = f"{folder} of frame 1: size: 0 bytes (expected a file with content)"
        assert [each.reason for each in scan.broken] == [told]
    with pytest.raises(InvalidCalibration, match="calibration: size: 0 bytes"):
        read_scan_files(files | {"camera_calibration.txt": b""})


def test_a_scan_without_calibration_frames_or_folder_is_refused(tmp_path: Path, make_scan: ScanBuilder):
    files = make_scan()
    del files["camera_calibration.txt"]
    with pytest.raises(InvalidCalibration, match="calibration: file: missing"):
        read_scan_files(files)
    with pytest.raises(InvalidManifest, match="frames"):
        read_scan(tmp_path)
    with pytest.raises(InvalidManifest, match="not a folder"):
        read_scan(tmp_path / "nowhere")


def test_an_unknown_step_is_read_and_declares_no_posture(make_scan: ScanBuilder):
    scan = read_scan_files(make_scan(step=300))
    assert scan.step == scan.frames[0].step == 300
    assert scan.declared is None


def test_if_no_frame_can_be_read_the_error_says_why(make_scan: ScanBuilder):
    files = {name: b"no picture" if name.startswith("rgb") else data for name, data in make_scan().items()}
    with pytest.raises(InvalidScan, match="none can be read; rgb of frame 0: format"):
        read_scan_files(files)


def test_a_record_that_cannot_be_read_is_not_ignored(make_scan: ScanBuilder):
    with pytest.raises(InvalidManifest, match=r"scan\.json"):
        read_scan_files(make_scan() | {"scan.json": b"{"})


def test_what_nothing_belongs_to_is_told_with_the_scan(make_scan: ScanBuilder):
    files = as_record(make_scan(frames=2))
    record = json.loads(files["scan.json"])
    plain = read_scan_files(files)
    assert plain.ignored == ()
    record["artifacts"] += [{"format": "rgb", "order": None, "file": PERSON}, record["artifacts"][-1]]
    scan = read_scan_files(files | {"scan.json": json.dumps(record).encode()})
    assert [frame.order for frame in scan.frames] == [0, 1]
    assert scan.broken == ()
    assert scan.ignored == ("scan.json: artifacts[4]: order: missing or out of range (expected 0 to 999999)",)
    # Otherwise a result of before would stand for this scan, without these lines.
    assert scan.digest != plain.digest


def test_a_scan_of_too_many_pixels_or_bytes_keeps_only_what_fits(
    make_scan: ScanBuilder, monkeypatch: pytest.MonkeyPatch
):
    files = make_scan(frames=4)
    monkeypatch.setattr(reader, "MAX_SCAN_PIXELS", 2 * 64 * 48)
    assert [broken.order for broken in read_scan_files(files).broken] == [2, 3]
    monkeypatch.setattr(reader, "MAX_SCAN_BYTES", sum(map(len, files.values())) // 2)
    assert [broken.order for broken in read_scan_files(files).broken] == [1, 2, 3]


def test_a_frame_maps_pixels_by_its_calibration_if_it_has_one(make_scan: ScanBuilder):
    (frame,) = read_scan_files(make_scan(frames=1)).frames
    calibration = Calibration((0.8, 1.0, 0.5, 0.45), (0.6, 0.7, 0.52, 0.5))
    assert replace(frame, calibration=calibration).view.color == calibration.color_intrinsics(64, 48)
    assert replace(frame, calibration=None).view.color == frame.depthmap.intrinsics.resized(64, 48)


# What phones, programs and people do to files.

Change = Callable[[str], str]


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace(".jpg", ".JPG").replace(".depth", ".DEPTH"),
        lambda name: name.replace(".jpg", ".JPEG"),
        lambda name: name.replace("rgb/", "RGB/").replace("depth/", "Depth/"),
        lambda name: name.rpartition("/")[2],
        lambda name: name.replace("/", "\\"),
        lambda name: name.upper().replace("ZOË_MÜLLER", "Zoë_Müller"),
        lambda name: name.replace("_1.", "_1 (1).").replace("_2.", "_2(1)."),
    ],
    ids=["upper", "jpeg", "folders", "flat", "backslash", "all upper", "copies"],
)
def test_files_are_read_however_their_names_are_written(
    tmp_path: Path, make_scan: ScanBuilder, change: Change
):
    files = make_scan(frames=2, person=PERSON)
    changed = {change(name): data for name, data in files.items()}
    for scan in (read_scan_files(changed), read_scan(write(tmp_path / "scan", changed))):
        assert len(scan.frames) == 2
        assert (scan.broken, scan.ignored) == ((), ())
        assert scan.digest == read_scan_files(files).digest


def test_the_record_and_the_calibration_may_be_named_in_any_case(tmp_path: Path, make_scan: ScanBuilder):
    files = as_record(make_scan(frames=2))
    upper = {name.upper(): data for name, data in files.items()}
    for scan in (read_scan_files(upper), read_scan(write(tmp_path / "scan", upper))):
        assert scan.digest == read_scan_files(files).digest


def test_what_systems_put_beside_the_files_changes_nothing(tmp_path: Path, make_scan: ScanBuilder):
    files = make_scan(frames=2, person=PERSON)
    names = [name for name in files if "/" in name]
    for name in names:
        folder, _, base = name.partition("/")
        files |= {f"{folder}/._{base}": b"\0\5\x16\7", f"__MACOSX/{folder}/._{base}": b""}
    files |= dict.fromkeys(("rgb/Thumbs.db", "rgb/.DS_Store", "depth/desktop.ini", ".git/config"), b"x")
    for scan in (read_scan_files(files), read_scan(write(tmp_path / "scan", files))):
        assert (scan.broken, scan.ignored) == ((), ())
        assert scan.digest == read_scan_files(make_scan(frames=2)).digest


def test_a_scan_in_a_folder_of_its_own_is_refused_and_says_what_lies_there(
    tmp_path: Path, make_scan: ScanBuilder
):
    nested = {f"{PERSON}/{name}": data for name, data in make_scan(person=PERSON).items()}
    for read in (lambda: read_scan_files(nested), lambda: read_scan(write(tmp_path / "scan", nested))):
        with pytest.raises(InvalidManifest, match="none; 1 other folder not read"):
            read()


def test_no_scan_depends_on_the_order_in_which_its_folder_is_listed(
    tmp_path: Path, make_scan: ScanBuilder, monkeypatch: pytest.MonkeyPatch
):
    files = make_scan(frames=3, person=PERSON)
    first = next(name for name in files if name.startswith("rgb"))
    for number, change in enumerate((".JPG", " (1).jpg", ".png", ".webp", ".heic")):
        files[first.replace(".jpg", change)] = files[first] + bytes(number + 1)
    files[first.replace("rgb/", "RGB/")] = files[first] + b"other"
    folder = write(tmp_path / "scan", files)
    found = read_scan(folder)
    assert len(found.frames) == 3
    scandir, rng = os.scandir, random.Random(5)

    @contextmanager
    def shuffled(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(path) as entries:
            listed = list(entries)
        rng.shuffle(listed)
        yield listed

    monkeypatch.setattr(os, "scandir", shuffled)
    for _ in range(10):
        other = read_scan(folder)
        assert (other.digest, other.ignored, other.broken) == (found.digest, found.ignored, found.broken)
        listed = list(files.items())
        rng.shuffle(listed)
        assert read_scan_files(dict(listed)).digest == found.digest


@pytest.mark.parametrize("as_json", [False, True])
def test_two_persons_in_one_folder_are_refused(tmp_path: Path, make_scan: ScanBuilder, as_json: bool):
    files = make_scan(person=PERSON) | make_scan(person="another")
    if as_json:
        entries = [
            {"order": order, "format": name.split("/")[0], "file": name}
            for order, name in enumerate(name for name in files if "/" in name)
        ]
        files["scan.json"] = json.dumps({"type": 100, "artifacts": entries}).encode()
    for read in (lambda: read_scan_files(files), lambda: read_scan(write(tmp_path / "scan", files))):
        with pytest.raises(InvalidManifest, match="one folder is one scan") as caught:
            read()
        assert "Zo" not in str(caught.value) and "another" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "orders", "ignored"),
    [
        ("s00_plain", [0], 0),
        ("s03_JPG_extension", [0], 0),
        ("s30_tango_names", [0], 0),
        ("s40_one_null_order", [1, 2], 1),
        ("s43_three_rgb_of_one_order", [1, 2], 1),
        ("s44_format_image_jpg", [1, 2], 0),
        ("s46_order_float", [1, 2], 0),
        ("s47_dot_slash_file", [1, 2], 0),
    ],
)
def test_cases_from_the_field_are_read(name: str, orders: list[int], ignored: int):
    scan = read_scan(case(name))
    assert [frame.order for frame in scan.frames] == orders
    assert scan.step == 104
    assert scan.broken == ()
    assert len(scan.ignored) == ignored


@pytest.mark.parametrize(
    "name",
    ["s01_motion_photo", "s02_png_28_text", "s06_no_eoi", "s11_zip_trailing_newline", "s12_zip_macosx"],
)
def test_pictures_and_archives_of_phones_and_zip_tools_are_read(name: str, capfd: pytest.CaptureFixture[str]):
    plain = read_scan(case("s00_plain")).frames[0]
    scan = read_scan(case(name))
    assert scan.broken == ()
    assert (scan.frames[0].depthmap.depth == plain.depthmap.depth).all()
    # The PNG has the colours before they were compressed.
    difference = abs(scan.frames[0].rgb.astype(int) - plain.rgb)
    assert difference.max() == 0 or (name == "s02_png_28_text" and difference.mean() < 5)
    assert capfd.readouterr() == ("", "")
