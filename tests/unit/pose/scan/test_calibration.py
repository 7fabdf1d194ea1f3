"""A calibration is read as phones write it, and refused where it cannot be one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pose.errors import InvalidCalibration
from pose.geometry.camera import Intrinsics
from pose.scan.calibration import MAX_BYTES, Calibration, parse_calibration

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)


def test_both_cameras_of_the_plush_scan_are_read(plush: Path):
    calibration = parse_calibration((plush / "camera_calibration.txt").read_bytes())
    assert calibration == Calibration(PHONE, PHONE, (0.0, 0.0, 0.0))


def test_cameras_that_differ_are_kept_apart():
    text = b"Color camera intrinsic:\n0.8 1.0 0.5 0.5\nDepth camera intrinsic:\n0.9 1.1 0.4 0.6\n"
    calibration = parse_calibration(text)
    assert calibration.color == (0.8, 1.0, 0.5, 0.5)
    assert calibration.depth == (0.9, 1.1, 0.4, 0.6)


def test_a_missing_position_of_the_depth_camera_is_0():
    text = b"Color camera intrinsic:\n0.8 1 .5 .5\nDepth camera intrinsic:\n0.8 1 .5 .5\n"
    assert parse_calibration(text).position == (0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b" ", b"   "),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b" \n\n"),
        lambda text: text.rstrip(),
        lambda text: text.replace(b"0.6786797", b"+6.786797e-1"),
        lambda text: text.upper().replace(b"COLOR", b"COLOUR"),
    ],
)
def test_line_ends_and_spaces_do_not_matter(calibration_file: bytes, change):
    assert parse_calibration(change(calibration_file)) == parse_calibration(calibration_file)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"0.6786797", b"nan", "color"),
        (b"0.6786797", b"inf", "color"),
        (b"0.6786797", b"1e999", "color focal length"),
        (b"0.6786797", b"0", "color focal length"),
        (b"0.6786797", b"-0.67", "color focal length"),
        (b"0.6786797", b"0_7", "color"),
        (b"0.6786797", "٣".encode(), "color"),
        (b"0.5035042", b"1.2", "color centre"),
        (b"0.5035042\nDepth", b"\nDepth", "color"),
        (b"0.5035042\nDepth", b"0.5 0.5\nDepth", "color"),
        (b"Depth camera intrinsic:", b"", "color"),
        (b"Color camera intrinsic:", b"", "label"),
        (b"0 0 0", b"0 0", "position"),
        (b"0 0 0", b"0 99 0", "position"),
        (b"0 0 0", b"0 0 0\n0 0 0", "position"),
        (b"Depth camera position:", b"\xff\xfe", "encoding"),
    ],
)
def test_an_error_names_the_field_that_is_wrong(calibration_file: bytes, old: bytes, new: bytes, field: str):
    with pytest.raises(InvalidCalibration) as caught:
        parse_calibration(calibration_file.replace(old, new, 1))
    assert caught.value.field == field
    assert caught.value.file == "calibration"


def test_an_empty_file_and_a_too_large_one_are_refused():
    with pytest.raises(InvalidCalibration, match="missing"):
        parse_calibration(b"")
    with pytest.raises(InvalidCalibration, match="at most"):
        parse_calibration(b"1" * (MAX_BYTES + 1))


def test_intrinsics_scale_with_the_picture():
    calibration = Calibration(PHONE, PHONE)
    small = calibration.depth_intrinsics(240, 180)
    assert small == Intrinsics(PHONE[0] * 240, PHONE[1] * 180, PHONE[2] * 240, 179 - PHONE[3] * 180, 240, 180)
    large = small.resized(640, 480)
    assert large.width == 640
    assert large.cy == pytest.approx(479 - PHONE[3] * 480)
    assert (large.fx, large.fy) == pytest.approx((PHONE[0] * 640, PHONE[1] * 480))


def test_many_digits_that_are_not_a_number_are_refused_fast():
    # Each of the ways to part them in two used to be tried: 0.4 s for these.
    text = b"Color camera intrinsic:\n" + b"9" * (MAX_BYTES - 100) + b"x"
    before = time.process_time()
    with pytest.raises(InvalidCalibration, match="not numbers"):
        parse_calibration(text)
    assert time.process_time() - before < 0.1
