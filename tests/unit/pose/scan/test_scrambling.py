"""Scrambled artefacts are read with their key; without it, or with another, the error says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pose
from pose.scan.reader import read_scan, read_scan_files
from pose.scan.scrambling import MAX_KEY_BYTES, Scrambling, parse_xor_key, xor
from tests.support.scrambled import KEY, plain_record, scrambled_record, xored

ScanBuilder = Callable[..., dict[str, bytes]]

WRONG_KEY = bytes.fromhex("77ec0a")


@pytest.mark.parametrize("version", ["v3.0", "v3.1", "v3.12.4", "v3", "ir-2.0", "ir-2.7.1", "v3.1-beta"])
def test_a_scrambled_scan_is_read_as_the_plain_one(make_scan: ScanBuilder, version: str):
    files = make_scan(frames=2)
    plain = read_scan_files(plain_record(files, "ir-1.0" if version.startswith("ir") else "v0.7"))
    scan = read_scan_files(scrambled_record(files, version), xor_key=KEY)
    assert scan.broken == ()
    assert scan.digest == plain.digest
    for frame, other in zip(scan.frames, plain.frames, strict=True):
        assert (frame.rgb == other.rgb).all()
        assert (frame.depthmap.depth == other.depthmap.depth).all()


@pytest.mark.parametrize("key", ["01", "20", "0102", "a5", "00112233", "ff" * 64])
def test_so_is_one_with_a_key_that_leaves_text_readable(make_scan: ScanBuilder, key: str):
    files = make_scan(frames=1)
    record = scrambled_record(files, key=bytes.fromhex(key))
    scan = read_scan_files(record, xor_key=bytes.fromhex(key))
    assert scan.digest == read_scan_files(plain_record(files)).digest
    with pytest.raises(pose.InvalidScan, match=r"v3\.1 are scrambled; no key is given"):
        read_scan_files(record)


def test_a_short_key_costs_no_more_than_a_long_one():
    before = time.process_time()
    assert len(xor(bytes(24 * 1024 * 1024), b"k")) == 24 * 1024 * 1024
    assert time.process_time() - before < 0.5


def test_so_is_one_in_a_folder(make_scan: ScanBuilder, tmp_path: Path):
    for name, data in scrambled_record(make_scan(frames=1)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert len(read_scan(tmp_path, xor_key=KEY).frames) == 1
    with pytest.raises(pose.InvalidScan, match="scrambled"):
        read_scan(tmp_path)


def raw_ir(files: dict[str, bytes]) -> tuple[dict[str, bytes], np.ndarray]:
    depth = (np.arange(240 * 320) % 5000).astype("<u2")
    return {name: depth.tobytes() if "/depth_" in name else data for name, data in files.items()}, depth


def test_depth_that_begins_with_its_pixels_is_stored_as_its_picture_is(make_scan: ScanBuilder):
    files, depth = raw_ir(make_scan(frames=1))
    stored = (
        scrambled_record(files, "ir-2.0"),
        plain_record(files, "ir-2.0"),
        # With a header, the file itself tells that it is plain.
        {
            **scrambled_record(files, "ir-2.0"),
            next(n for n in files if "/depth_" in n): b"320x240_0.001_0\n" + depth.tobytes(),
        },
    )
    for record in stored:
        (frame,) = read_scan_files(record, xor_key=KEY).frames
        assert frame.depthmap.depth.shape == (240, 320)
        assert frame.depthmap.depth.ravel() == pytest.approx(depth / 1000)


@pytest.mark.parametrize("role", ["rgb/", "depth/", "camera_calibration"])
def test_a_plain_file_of_such_a_record_is_read_as_it_is(make_scan: ScanBuilder, role: str):
    files = make_scan(frames=1)
    record = scrambled_record(files)
    record.update({name: data for name, data in files.items() if name.startswith(role)})
    assert len(read_scan_files(record, xor_key=KEY).frames) == 1


def test_a_plain_record_of_such_a_version_needs_no_key(make_scan: ScanBuilder):
    assert len(read_scan_files(plain_record(make_scan(frames=2))).frames) == 2


@pytest.mark.parametrize("version", ["v2.9", "v30.1", "ir-1.2", "ir-20.0", "v0.7"])
def test_the_key_leaves_other_versions_alone(make_scan: ScanBuilder, version: str):
    files = make_scan(frames=1)
    assert len(read_scan_files(plain_record(files, version), xor_key=KEY).frames) == 1
    with pytest.raises(pose.InvalidScan) as caught:
        read_scan_files({**scrambled_record(files, version), **plain_parts(files, "cam")}, xor_key=KEY)
    assert "scrambled" not in str(caught.value)


def plain_parts(files: dict[str, bytes], *roles: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith(roles)}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (None, "no key is given"),
        (WRONG_KEY, "this key does not undo it"),
        (KEY[:1], "this key does not undo it"),
    ],
)
@pytest.mark.parametrize("plain", [(), ("cam",), ("cam", "rgb")])
def test_without_the_key_or_with_a_wrong_one_the_error_says_so(
    make_scan: ScanBuilder, key: bytes | None, told: str, plain: tuple[str, ...]
):
    files = make_scan(frames=1)
    record = {**scrambled_record(files), **plain_parts(files, *(plain or ("none",)))}
    with pytest.raises(pose.InvalidScan) as caught:
        read_scan_files(record, xor_key=key)
    assert f"artefacts of version v3.1 are scrambled; {told}" in str(caught.value)
    for given in (key, KEY):
        assert given is None or (
            given.hex() not in str(caught.value) and repr(given) not in str(caught.value)
        )


def test_a_version_is_shown_only_as_far_as_it_is_a_number():
    assert Scrambling.of("v3.1.Kinderkennung", None).version == "v3.1"
    assert Scrambling.of("v3." + "9" * 100, None).version == "v3"
    for other in (3.1, None, ["v3.1"], "", "V3"):
        assert Scrambling.of(other, KEY).version is None


def test_the_key_is_not_in_the_text_of_the_object():
    assert KEY.hex() not in repr(Scrambling.of("v3.1", KEY))
    assert repr(KEY) not in repr(Scrambling.of("v3.1", KEY))


@pytest.mark.parametrize("text", ["5aff0013c7", "5AFF0013C7\n", "\t5aFF0013c7 \r\n"])
def test_a_key_is_read_from_hex_digits(text: str):
    assert parse_xor_key(text) == KEY


@pytest.mark.parametrize(
    "text", ["", "5", "5af", "hunter2!", "5a ff", "0x5a", "5a" * (MAX_KEY_BYTES + 1), "٥٥"]
)
def test_another_text_is_refused_without_being_repeated(text: str):
    with pytest.raises(ValueError, match="expected 1 to 2048 bytes, each of them two hex digits") as caught:
        parse_xor_key(text)
    assert not text or f"{text}" not in str(caught.value).replace("2048", "")


@pytest.mark.parametrize(("key", "came"), [(b"", "no bytes"), ("5aff", "str"), (7, "int")])
def test_what_is_no_key_is_refused_at_once(make_scan: ScanBuilder, key: object, came: str):
    with pytest.raises(ValueError, match=f"xor_key is {came}, expected bytes"):
        read_scan_files(make_scan(), xor_key=key)  # type: ignore[arg-type]


def test_the_limits_of_size_hold_before_anything_is_undone(make_scan: ScanBuilder, monkeypatch):
    monkeypatch.setattr("pose.scan.pictures.MAX_BYTES", 100)
    with pytest.raises(pose.InvalidScan, match="bytes"):
        read_scan_files(scrambled_record(make_scan(frames=1)), xor_key=KEY)


def test_the_helper_of_these_tests_is_its_own_inverse():
    assert xored(xored(b"12345678")) == b"12345678" != xored(b"12345678")
