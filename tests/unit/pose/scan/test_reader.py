"""Scans are read from a folder or from memory; a broken frame does not affect the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose.errors import InvalidCalibration, InvalidManifest, InvalidScan
from pose.scan import reader
from pose.scan.calibration import Calibration
from pose.scan.reader import read_scan, read_scan_files

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
    files = {name: b"" if name.startswith("rgb") else data for name, data in make_scan().items()}
    with pytest.raises(InvalidScan, match="none can be read; rgb of frame 0: format"):
        read_scan_files(files)


def test_a_record_that_cannot_be_read_is_not_ignored(make_scan: ScanBuilder):
    with pytest.raises(InvalidManifest, match=r"scan\.json"):
        read_scan_files(make_scan() | {"scan.json": b"{"})


def test_two_pictures_of_one_order_break_that_frame(make_scan: ScanBuilder):
    files = as_record(make_scan(frames=2))
    record = json.loads(files["scan.json"])
    record["artifacts"].append(record["artifacts"][-1])
    scan = read_scan_files(files | {"scan.json": json.dumps(record).encode()})
    assert scan.broken[0].reason == "scan.json: frame 1: more than one rgb"


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
