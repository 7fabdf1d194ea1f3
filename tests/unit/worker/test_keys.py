"""A scan id is parsed where it comes in, and no key is made from any other text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.keys import (
    InvalidRequest,
    ScanId,
    artefact_key,
    parse_scan_id,
    result_key,
    scan_ids_in,
    status_key,
)

WORKER = Path(__file__).parents[3] / "worker"
BAD_IDS = ["", "a" * 129, "a/b", "..", "a.b", "scan\n", "scan 1", "ä", "a\0", "scan%2F", None, 7, ["scan"]]


@pytest.mark.parametrize("scan_id", ["a", "scan-1", "A_b-9", "9" * 128, "-", "_"])
def test_letters_digits_underscores_and_dashes_are_a_scan_id(scan_id):
    assert parse_scan_id(scan_id) == scan_id
    assert list(scan_ids_in([scan_id])) == [scan_id]


@pytest.mark.parametrize("value", BAD_IDS)
def test_anything_else_is_refused(value):
    with pytest.raises(InvalidRequest):
        parse_scan_id(value)
    if isinstance(value, str):
        assert list(scan_ids_in([value])) == []


@given(st.text())
def test_a_key_never_leaves_the_folder_of_its_scan(text):
    try:
        scan_id = parse_scan_id(text)
    except InvalidRequest:
        return
    assert result_key(scan_id).split("/") == [text, "result.json"]


def test_only_the_parser_makes_a_scan_id():
    """mypy refuses a plain `str` where a `ScanId` is expected; this finds code that would get around it."""
    for path in WORKER.rglob("*.py"):
        if path != WORKER / "keys.py":
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            made = [call for call in calls if ast.unparse(call.func) == "ScanId"]
            cast = [
                call for call in calls if ast.unparse(call.func) == "cast" and "ScanId" in ast.unparse(call)
            ]
            assert made + cast == [], f"{path} must call parse_scan_id"


def test_an_error_does_not_repeat_what_was_sent():
    with pytest.raises(InvalidRequest) as error:
        parse_scan_id("secret/../../etc")
    assert "secret" not in str(error.value)


def test_keys_are_a_function_of_scan_and_artefact():
    assert result_key(ScanId("s")) == "s/result.json"
    assert status_key(ScanId("s")) == "s/status.json"
    assert artefact_key(ScanId("s"), "frames/12/blurred.jpg") == "s/frames/12/blurred.jpg"


@pytest.mark.parametrize(
    "name", ["result.json", "frames/x/pose.json", "frames/0/../pose.json", "frames/0/rgb_p1_1_100_1.jpg", ""]
)
def test_an_artefact_of_another_name_is_not_stored(name):
    with pytest.raises(ValueError, match="an artefact's name") as error:
        artefact_key(ScanId("s"), name)
    assert "p1" not in str(error.value)
