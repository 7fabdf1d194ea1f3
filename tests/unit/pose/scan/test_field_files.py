"""Whole scans whose headers and calibrations are written as some phones, editors and spreadsheets do."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from pose.scan.reader import read_scan, read_scan_files
from tests.support.cases import case

ScanBuilder = Callable[..., dict[str, bytes]]
Change = Callable[[bytes], bytes]


def with_header(file: bytes, change: Change) -> bytes:
    content = zipfile.ZipFile(io.BytesIO(file)).read("data")
    header, _, pixels = content.partition(b"\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data", change(header) + pixels)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("change", "pose_known"),
    [
        (lambda header: header + b"\n", True),
        (lambda header: header + b"\r\n", True),
        (lambda header: header + b"\r", True),
        (lambda header: header.replace(b".", b",") + b"\n", True),
        (lambda header: header + b"_1622182020448\n", True),
        (lambda header: b"_".join(header.split(b"_")[:3]) + b"_NaN" * 7 + b"\n", False),
        (lambda header: header.rpartition(b"_")[0] + b"_Infinity\n", False),
    ],
)
def test_a_header_costs_no_depth(make_scan: ScanBuilder, change: Change, pose_known: bool):
    files = make_scan(frames=1)
    (expected,) = read_scan_files(files).frames
    assert expected.depthmap.pose_known
    changed = {n: with_header(data, change) if n.startswith("depth") else data for n, data in files.items()}
    (frame,) = read_scan_files(changed).frames
    assert (frame.depthmap.depth == expected.depthmap.depth).all()
    assert frame.depthmap.missing == expected.depthmap.missing
    assert frame.depthmap.pose_known is pose_known
    assert (frame.depthmap.translation == expected.depthmap.translation).all() == pose_known


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b".", b","),
        lambda text: text.decode().encode("utf-16"),
        lambda text: text + b"Distortion:\n0.1 0.2 0 0 0\n",
    ],
)
def test_a_calibration_gives_the_same_cameras(make_scan: ScanBuilder, change: Change):
    files = make_scan(frames=1)
    name = "camera_calibration.txt"
    (expected,), (frame,) = (
        read_scan_files(each).frames for each in (files, {**files, name: change(files[name])})
    )
    assert frame.calibration == expected.calibration
    assert frame.depthmap.intrinsics == expected.depthmap.intrinsics


@pytest.mark.parametrize(
    ("name", "pose_known"),
    [
        ("s14_pose_nan", False),
        ("s15_header_11_fields", True),
        ("s16_comma_decimals", True),
        ("s20_cal_utf16", True),
        ("s22_cal_extra_label", True),
    ],
)
def test_cases_from_the_field_are_the_plain_scan(name: str, pose_known: bool):
    (expected,), (frame,) = (read_scan(case(each)).frames for each in ("s00_plain", name))
    assert (frame.depthmap.depth == expected.depthmap.depth).all()
    assert frame.calibration == expected.calibration
    assert frame.depthmap.pose_known is pose_known
    assert (frame.floor == expected.floor) is (pose_known or expected.floor is None)
