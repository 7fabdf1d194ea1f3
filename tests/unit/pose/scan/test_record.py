"""scan.json is read as spreadsheets and backends write it, and a bad entry costs no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pose.errors import InvalidManifest
from pose.scan.record import MAX_BYTES, Artefact, BadEntry, describe, parse_record, parse_time

GOOD = {"order": 1, "format": "rgb", "file": "rgb/a.jpg"}


def record(*entries: Any, **changes: Any) -> bytes:
    return json.dumps({"type": 104, "artifacts": list(entries) or [GOOD]} | changes).encode()


def one(**changes: Any) -> Artefact:
    (artefact,) = parse_record(record({**GOOD, **changes})).artefacts
    return artefact


def bad(entry: Any) -> BadEntry:
    """What is wrong with an entry that stands after a good one."""
    found = parse_record(record(GOOD, entry))
    assert found.artefacts == (Artefact(1, "rgb", "rgb/a.jpg", None),)
    (problem,) = found.bad
    assert problem.index == 1
    return problem


@pytest.mark.parametrize("order", [7, 7.0, "7", " 7 ", "7.0", "7,0", "7.00"])
def test_whole_numbers_are_numbers_however_they_are_written(order: Any):
    assert one(order=order).order == 7
    assert parse_record(record(type=order)).step == 7


@pytest.mark.parametrize(
    "order",
    [None, "", "x", 1.5, "1.5", "1.000", True, -1, -1.0, "-1", 1_000_000, 10**30, 1e300, float("nan"),
     float("inf"), [], {}, "٧", "9" * 5000],
)  # fmt: skip
def test_another_order_costs_its_entry(order: Any):
    assert bad({**GOOD, "order": order}) == BadEntry(1, None, "order")


def test_a_number_of_thousands_of_digits_costs_its_entry():
    data = record(GOOD, {**GOOD, "order": "N"}).replace(b'"N"', b"9" * 5000)
    assert parse_record(data).bad == (BadEntry(1, None, "order"),)


def test_an_order_may_be_left_out_of_what_is_no_picture_and_no_depth():
    found = parse_record(record(GOOD, {"format": "pcd"}, {"format": "calibration", "order": 3, "file": 5}))
    assert found.bad == ()
    assert found.other == {3}


@pytest.mark.parametrize(
    "written",
    ["rgb", "RGB", " rgb ", "image/jpeg", "image/jpg", "IMAGE/JPG", "image/pjpeg", "image/png", "jpg", "JPEG",
     "image/jpeg; charset=binary"],
)  # fmt: skip
def test_a_picture_has_many_formats(written: str):
    assert one(format=written).role == "rgb"


@pytest.mark.parametrize(
    "written", ["depth", "Depth", "application/zip", "application/x-zip-compressed", "APPLICATION/ZIP", "zip"]
)
def test_a_depth_map_has_many_formats(written: str):
    assert one(format=written).role == "depth"


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("rgb/a.jpg", "rgb/a.jpg"),
        ("./rgb/a.jpg", "rgb/a.jpg"),
        ("././a.jpg", "a.jpg"),
        ("rgb/./a.jpg", "rgb/a.jpg"),
        (" rgb/a.jpg\n", "rgb/a.jpg"),
        ("rgb\\a.jpg", "rgb/a.jpg"),
        (".\\rgb\\a.jpg", "rgb/a.jpg"),
        ("rgb//a.jpg", "rgb/a.jpg"),
        (".//rgb\\\\a.jpg", "rgb/a.jpg"),
        ("a..b.jpg", "a..b.jpg"),
    ],
)
def test_a_path_inside_the_scan_is_taken_as_it_is_meant(written: str, file: str):
    assert one(file=written).file == file


@pytest.mark.parametrize(
    "file",
    ["../x", "/x", "//x", "a/", "/./x", "a/../../x", "rgb/../a", "..", ".", "./", "./../x", ".\\..\\x",
     "..\\x", "\\x", "", None, 5, [], "\ud800", "x" * 600, "a\0b"],
)  # fmt: skip
def test_a_file_outside_the_scan_costs_its_entry(file: Any):
    assert bad({**GOOD, "order": 2, "file": file}) == BadEntry(1, 2, "file")


@pytest.mark.parametrize("entry", [None, "x", 5, [], [GOOD], True])
def test_what_is_no_object_costs_its_entry(entry: Any):
    assert bad(entry) == BadEntry(1, None, "entry")


@pytest.mark.parametrize("changes", [{"format": None}, {"format": 5}, {"format": ["rgb"]}])
def test_a_missing_format_costs_its_entry(changes: dict[str, Any]):
    assert bad({**GOOD, "order": "3", **changes}) == BadEntry(1, 3, "format")


def test_further_fields_are_not_read():
    assert one(role="depth", id=None, timestamp=None, size=float("nan"), extra={"a": []}) == Artefact(
        1, "rgb", "rgb/a.jpg", None
    )


def test_bad_entries_are_told_by_kind_without_their_values():
    wrong = [*({**GOOD, "order": "Zoë"} for _ in range(3)), {**GOOD, "file": "../Zoë"}, "Zoë"]
    assert list(describe(parse_record(record(GOOD, *wrong)).bad)) == [
        "scan.json: artifacts[1] and 2 more: order: missing or out of range (expected 0 to 999999)",
        "scan.json: artifacts[4]: file: missing or no path inside the scan (expected one such as"
        " rgb/first.jpg)",
        "scan.json: artifacts[5]: entry: not an object (expected an object with order, format and file)",
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2020-09-13T12:26:40.500Z", 1_600_000_000.5),
        ("2020-09-13T12:26:40.500123456Z", 1_600_000_000.500123),
        ("2020-09-13 12:26:40.5", 1_600_000_000.5),
        ("2020-09-13T14:26:40,500+02:00", 1_600_000_000.5),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140.0),
        (1_600_000_000.5, 1_600_000_000.5),
        (1_600_000_000_500, 1_600_000_000.5),
        ("1600000000500", 1_600_000_000.5),
        (" 1600000000500.0 ", 1_600_000_000.5),
        (1_600_000_000_500_000, 1_600_000_000.5),
        (1_600_000_000_500_000_000, 1_600_000_000.5),
        (668549.914277, 668549.914277),
        (0, 0.0),
    ],
)
def test_times_are_read_however_they_are_written(value: Any, seconds: float):
    assert parse_time(value) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "value",
    [None, "", "…", "yesterday", True, -1, float("nan"), float("inf"), 10**30, "9" * 500, [], {"$date": 5},
     "2020-13-01", "12:00", "0000-01-01T00:00:00Z"],
)  # fmt: skip
def test_another_time_is_unknown_and_costs_nothing(value: Any):
    assert one(timestamp=value).time is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_the_record_may_be_in_any_encoding_of_unicode(encoding: str):
    data = record({**GOOD, "file": "rgb/Zoë.jpg"}).decode()
    text = data.replace("\\u00eb", "ë")
    assert parse_record(text.encode(encoding)).artefacts[0].file == "rgb/Zoë.jpg"


def test_a_name_in_another_encoding_costs_nothing_else():
    data = record(GOOD, {**GOOD, "file": "rgb/Zoë.jpg"}).decode().replace("\\u00eb", "ë")
    found = parse_record(data.encode("cp1252"))
    assert found.artefacts[0].file == "rgb/a.jpg"
    assert found.artefacts[1].file.encode("utf-8", "surrogateescape") == "rgb/Zoë.jpg".encode("cp1252")


def test_a_list_of_one_record_is_the_record():
    assert parse_record(b"[" + record() + b"]") == parse_record(record())
    with pytest.raises(InvalidManifest, match="no object"):
        parse_record(b"[" + record() + b"," + record() + b"]")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": -1}, "type"),
        ({"type": 10**9}, "type"),
        ({"type": "front"}, "type"),
        ({"type": None}, "type"),
        ({"type": True}, "type"),
        ({"type": 200.5}, "type"),
        ({"type": float("nan")}, "type"),
        ({"artifacts": []}, "artifacts"),
        ({"artifacts": {}}, "artifacts"),
        ({"artifacts": None}, "artifacts"),
        ({"artifacts": [{}] * 5000}, "artifacts"),
    ],
)
def test_an_error_names_the_field_that_is_wrong(changes: dict[str, Any], field: str):
    with pytest.raises(InvalidManifest) as caught:
        parse_record(record(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b"[" * 10**5, b"9" * 5000, b"\xff\xfe\x00", b" " * (MAX_BYTES + 1)],
    ids=range(8),
)
def test_what_is_not_a_record_is_refused(data: bytes):
    with pytest.raises(InvalidManifest):
        parse_record(data)


def test_the_line_of_an_error_in_the_json_is_told():
    with pytest.raises(InvalidManifest, match="no JSON, see line 3"):
        parse_record(b'{"type": 104,\n"artifacts": [\n{"order": 1,}]}')
