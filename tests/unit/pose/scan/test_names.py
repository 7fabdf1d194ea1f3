"""Names of files say what they are, and no message contains the person's code in them."""

from __future__ import annotations

import random
import unicodedata
from decimal import Decimal

import pytest

from pose.errors import InvalidManifest
from pose.scan.names import (
    ArtefactName,
    check_one_scan,
    fold,
    is_safe_path,
    is_system_file,
    parse_name,
    unrecognised,
)

MS = 1_622_182_020_448
CODE = "Zoë_Müller"


def parsed(*names: str) -> list[ArtefactName]:
    found = [parse_name(name) for name in names]
    assert None not in found
    return [each for each in found if each is not None]


@pytest.mark.parametrize(
    "end", ["jpg", "JPG", "Jpg", "jpeg", "JPEG", "png", "PNG", "jpg".upper()], ids=lambda end: end
)
def test_the_type_of_a_picture_may_be_in_any_case(end: str):
    (found,) = parsed(f"rgb/rgb_{CODE}_{MS}_104_7.{end}")
    assert (found.role, found.ms, found.step, int(found.number)) == ("rgb", MS, 104, 7)


@pytest.mark.parametrize(
    "name",
    ["RGB/rgb_p_1_104_7.jpg", "Rgb/RGB_p_1_104_7.JPG", "rgb_p_1_104_7.jpg", r"rgb\rgb_p_1_104_7.jpg"],
)
def test_folders_and_roles_may_be_in_any_case_and_names_as_windows_writes_them(name: str):
    assert parsed(name)[0].role == "rgb"


def test_numbers_may_be_huge():
    (found,) = parsed(f"depth/depth_p_{10**20 - 1}_{10**9 - 1}_{10**20 - 1}.DEPTH")
    assert (found.ms, found.step, int(found.number)) == (10**20 - 1, 10**9 - 1, 10**20 - 1)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        (f"rgb/rgb_P-1_{MS}_104_668549.914277.jpg", "668549.914277"),
        (f"depth/depth_P-1_{MS}_104_0_668550.013787.depth", "668550.013787"),
        (f"depth/depth_P-1_{MS}_104_668550,5.depth", "668550.5"),
        (f"rgb/rgb_1_2_3_{MS}_104_1.2345678E7.JPG", "12345678"),
    ],
)
def test_a_time_may_stand_in_place_of_the_number(name: str, seconds: str):
    (found,) = parsed(name)
    assert found.seconds == found.number == Decimal(seconds)
    assert (found.ms, found.step) == (MS, 104)


@pytest.mark.parametrize(
    "name",
    [
        "rgb/holiday.jpg",
        "rgb/rgb_p_1_104.jpg",
        "rgb/rgb_p_1_104_7.txt",
        "rgb/rgb_p_1_104_7.depth",
        "depth/depth_p_1_104_7.jpg",
        "rgb/._rgb_p_1_104_7.jpg",
        "rgb/more/rgb_p_1_104_7.jpg",
        "x/rgb_p_1_104_7.jpg",
        "rgb/rgb_p_1_104_7.jpg/",
        "rgb/rgb_p_1_104_٧.jpg",
        "rgb/rgb_p_1_104_7 - Copy.jpg",
        f"rgb/rgb_{CODE}_{MS}_104_7_1.jpg",  # a copy, not another person's frame at the time 104
        f"depth/depth_{CODE}_{MS}_104_0_668550.depth",
        "rgb/rgb_p_1_104_1.5.jpg",  # no time without the unix time before it
    ],
)
def test_other_names_are_of_no_frame(name: str):
    assert parse_name(name) is None


def test_the_first_of_several_files_of_a_frame_is_the_one_that_has_the_usual_name():
    usual = "rgb/rgb_p_1_104_7.jpg"
    others = [
        "RGB/rgb_p_1_104_7.jpg", "rgb/rgb_p_1_104_7.JPG", "rgb/rgb_p_1_104_7.png", "rgb_p_1_104_7.jpg",
        "rgb/rgb_p_1_104_7 (1).jpg", "rgb/rgb_p_1_104_7(2).jpg",
    ]  # fmt: skip
    found = parsed(*others, usual)
    assert len({each.key for each in found}) == 1
    assert min(found, key=lambda each: each.rank).name == usual


# One folder is one scan.


def test_files_of_two_persons_are_refused_without_their_codes():
    files = parsed(f"rgb/rgb_{CODE}_{MS}_104_1.jpg", f"rgb/rgb_another_{MS}_104_2.jpg")
    with pytest.raises(InvalidManifest, match=r"the codes of 2 persons .*one folder is one scan") as caught:
        check_one_scan(files)
    assert "Zo" not in str(caught.value) and "another" not in str(caught.value)


def test_one_code_that_two_systems_write_is_one_person():
    check_one_scan(
        parsed(*(f"rgb/rgb_{unicodedata.normalize(form, CODE)}_1_104_1.jpg" for form in ("NFC", "NFD")))
    )
    check_one_scan(parsed(f"RGB/RGB_{CODE.upper()}_1_104_1.JPG", f"depth/depth_{CODE}_1_104_1.depth"))


@pytest.mark.parametrize(("apart", "one"), [(0, True), (60_000, True), (60_001, False), (10**9, False)])
def test_times_more_than_a_minute_apart_are_of_two_scans(apart: int, one: bool):
    files = parsed(f"rgb/rgb_{CODE}_{MS}_104_1.jpg", f"depth/depth_{CODE}_{MS + apart}_104_2.depth")
    if one:
        check_one_scan(files)
    else:
        with pytest.raises(InvalidManifest, match=r"more than 60 s apart .*one folder is one scan") as caught:
            check_one_scan(files)
        assert "Zo" not in str(caught.value)


def test_times_in_seconds_are_of_one_scan_within_a_minute_too():
    first = f"rgb/rgb_p_{MS}_104_1000.0.jpg"
    check_one_scan(parsed(first, f"rgb/rgb_p_{MS}_104_1060.0.jpg"))
    with pytest.raises(InvalidManifest, match="more than 60 s apart"):
        check_one_scan(parsed(first, f"rgb/rgb_p_{MS}_104_1060.001.jpg"))


# What is not recognised.


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"rgb/rgb_{CODE}_1_104_1.webp"], "1 file not recognised, such as rgb/rgb_….webp"),
        (
            [f"RGB/{CODE}.HEIC", f"RGB/rgb_{CODE}.jpg", f"depth/{CODE}"],
            "3 files not recognised, such as RGB/….HEIC",
        ),
        ([f"rgb/rgb_1_{CODE}.{CODE}"], "1 file not recognised, such as rgb/rgb_…"),
        ([f"{CODE}/rgb_{CODE}_1_104_1.jpg"], "1 file not recognised, such as …/rgb_….jpg"),
        ([f"rgb/{CODE}/"], "1 file not recognised, such as rgb/…"),
        ([f"{CODE}.jpg"], "1 file not recognised, such as ….jpg"),
    ],
)
def test_what_is_not_recognised_is_counted_and_shown_without_the_code(names: list[str], told: str):
    random.Random(2).shuffle(names)
    assert unrecognised(names) == told


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["rgb/Thumbs.db", "depth/.DS_Store", "rgb/desktop.ini", "rgb/._rgb_p_1_104_7.jpg", ".git/rgb_x.jpg"],
        ["__MACOSX/rgb/._rgb_p_1_104_7.jpg", "rgb/@eaDir/rgb_p_1_104_7.jpg", "__MACOSX/"],
        ["camera_calibration.txt", "scan.json", "notes.txt", "results/", "rgb/rgb_p_1_104_7.jpg"],
    ],
)
def test_files_of_the_system_and_others_beside_the_scan_are_not_counted(names: list[str]):
    assert unrecognised(names) is None


def test_a_file_of_the_system_is_known_anywhere():
    assert is_system_file("rgb/THUMBS.DB") and is_system_file(".hidden/rgb_p_1_104_7.jpg")
    assert not is_system_file("rgb/rgb_p_1_104_7.jpg")


def test_names_that_people_take_as_the_same_are_folded_to_one():
    assert fold("RGB\\Zoe\u0308.JPG") == fold("rgb/zoë.jpg")


def test_plain_relative_names_are_safe():
    assert is_safe_path("rgb/a.jpg") and is_safe_path("a b/ä.jpg") and is_safe_path("..a")
    assert not is_safe_path("a\0b") and not is_safe_path(b"a")
