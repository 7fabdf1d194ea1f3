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


@pytest.mark.parametrize(
    "position",
    ["", "0 0", "0 99 0", "12.5 0 0", "0 0 0\n0 0 0", "0 0 0 1", "0,01,0,02,0", "NaN 0 0", "? ? ?", "0.1 m"],
)
def test_no_position_of_the_depth_camera_costs_a_scan(position: str):
    text = "Color camera intrinsic:\n0.8 1 .5 .5\nDepth camera intrinsic:\n0.7 1 .5 .5\n"
    assert parse_calibration(text.encode()).position == (0, 0, 0)
    calibration = parse_calibration(f"{text}Depth camera position:\n{position}\n".encode())
    assert calibration == Calibration((0.8, 1, 0.5, 0.5), (0.7, 1, 0.5, 0.5), (0, 0, 0))


def test_a_position_of_the_depth_camera_is_kept(calibration_file: bytes):
    assert parse_calibration(calibration_file.replace(b"0 0 0", b"0.01 -0,02 0")).position == (0.01, -0.02, 0)


def test_a_label_whose_numbers_have_names_is_not_called_missing():
    text = b"Color camera intrinsic:\nfx=0.8 fy=1 cx=.5 cy=.5\nDepth camera intrinsic:\n0.8 1 .5 .5\n"
    with pytest.raises(InvalidCalibration, match="color: no numbers after its label"):
        parse_calibration(text)


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
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.replace(b" ", b"\t").replace(b"\n", b"\t\t\n"),
        lambda text: text.replace(b" ", b"\xa0"),
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.decode().encode("utf-16-be"),
        lambda text: text + b"\0" * 30,
    ],
)
def test_encodings_line_ends_and_spaces_do_not_matter(calibration_file: bytes, change):
    assert parse_calibration(change(calibration_file)) == parse_calibration(calibration_file)


def as_cells(text: bytes, quote: bytes = b"") -> bytes:
    """The lines as a spreadsheet's cells, the first column empty, with decimal commas."""
    lines = []
    for line in text.replace(b".", b",").splitlines():
        cells = line.split() if line[:1].isdigit() else [line]
        lines.append(b";" + b";".join(quote + cell + quote for cell in cells))
    return b"\n".join(lines)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b".", b","),
        lambda text: text.replace(b".", b",").replace(b" 0,", b",0,").replace(b"0 0 0", b"0,0,0"),
        lambda text: text.replace(b" 0.", b", 0."),
        lambda text: text.replace(b" 0.", b"\n0."),
        lambda text: text.replace(b"\n", b";;;\n"),
        as_cells,
        lambda text: b"sep=;\n" + as_cells(text, b'"'),
        lambda text: b'"' + text.replace(b"\n", b'"\n"') + b'"',
        lambda text: text.replace(b"0.67", b"[0.67").replace(b"42\n", b"42]\n"),
    ],
)
def test_numbers_may_be_written_as_a_spreadsheet_does(calibration_file: bytes, change):
    assert parse_calibration(change(calibration_file)) == parse_calibration(calibration_file)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"Distortion:\n0.1 0.2 0 0 0\n",
        lambda text: text.replace(b"Depth camera pos", b"Rotation\n1 0 0 0\n0 1 0 0\nDepth camera pos"),
        lambda text: text.replace(b"Depth camera pos", b"Phab 2 Pro\n0 1 0 0\nDepth camera pos"),
        lambda text: b"Device: SM-A515F\nDate: 2020-01-01 10:00:00\n1 2 3\n" + text + b"Phab 2 Pro\n",
        lambda text: text.replace(b":\n", b"\n"),
        lambda text: text.replace(b":\n", b": "),
        lambda text: text.replace(b":\n", b" "),
        lambda text: text.replace(b"intrinsic:", b"intrinsics (fx fy cx cy):"),
        lambda text: text.replace(b"Color camera intrinsic", b"color_camera_intrinsic"),
        lambda text: b"# by hand\n" + text.replace(b"42\n", b"42 // fx fy cx cy\n") + b"# 1 2 3\n",
        lambda text: b"=====\n" + text.replace(b"Depth camera p", b"-----\nDepth camera p"),
        lambda text: text.replace(b"Color camera intrinsic:", b"[Color camera intrinsic]"),
        lambda text: text.replace(b"\n", b" "),
        lambda text: as_cells(text).replace(b"\n", b";"),
        lambda text: text + text,
        lambda text: text.replace(b"0 0 0", b"NaN NaN NaN"),
        lambda text: text.replace(b"0 0 0", b""),
    ],
)
def test_other_labels_comments_and_forms_of_the_labels_do_not_matter(calibration_file: bytes, change):
    assert parse_calibration(change(calibration_file)) == parse_calibration(calibration_file)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"0.6786797", b"nan", "color focal length"),
        (b"0.6786797", b"inf", "color focal length"),
        (b"0.6786797", b"1e999", "color focal length"),
        (b"0.6786797", b"0", "color focal length"),
        (b"0.6786797", b"-0.67", "color focal length"),
        (b"0.6786797", b"0_7", "color"),
        (b"0.6786797", b"O.6786797", "color"),
        (b"0.6786797", b"67.8%", "color"),
        (b"0.5035042", b"1.2", "color centre"),
        (b"0.5035042\nDepth", b"\nDepth", "color"),
        (b"0.5035042\nDepth", b"0.5 0.5\nDepth", "color"),
        (b"Depth camera intrinsic:", b"", "color"),
        (b"Color camera intrinsic:", b"", "color"),
        (b"0 0 0", b"0 0 0\nDepth camera intrinsic:\n0.7 0.9 0.5 0.5", "depth"),
        (b"Depth camera position:", b"\xff\xd8\x10", "encoding"),
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


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14", "a ZIP archive, such as a spreadsheet"),
        (b"{\\rtf1\\ansi", "an RTF document"),
        (b"<!DOCTYPE html><p>Not found", "HTML or XML"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "not text: control characters"),
    ],
)
def test_another_kind_of_file_is_named(data: bytes, what: str):
    with pytest.raises(InvalidCalibration, match=f"encoding: {what}") as caught:
        parse_calibration(data)
    assert caught.value.expected == "plain text"


# Each of the ways to part the digits in two used to be tried: 0.4 s for these.
@pytest.mark.parametrize("part", [b"9", b"1,", b"(", b"((a)", b"0,0 ", b"a ", b":", b"1\n", b"\xc3\xa9"])
def test_long_texts_without_a_number_are_refused_fast(part: bytes):
    text = b"Color camera intrinsic:\n" + part * ((MAX_BYTES - 100) // len(part)) + b"x"
    before = time.process_time()
    with pytest.raises(InvalidCalibration):
        parse_calibration(text)
    assert time.process_time() - before < 0.1
