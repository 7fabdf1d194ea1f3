from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.intake.task_call import check_call, scan_id_of
from worker.keys import InvalidRequest, artefact_key, parse_scan_id, result_key, status_key

BAD_IDS = ["", "a" * 129, "a/b", "..", "a.b", "scan\n", "scan 1", "ä", "a\0", "scan%2F", None, 7, ["scan"]]


@pytest.mark.parametrize("scan_id", ["a", "scan-1", "A_b-9", "9" * 128, "-", "_"])
def test_letters_digits_underscores_and_dashes_are_a_scan_id(scan_id):
    assert parse_scan_id(scan_id) == scan_id


@pytest.mark.parametrize("scan_id", BAD_IDS)
def test_anything_else_is_refused_by_every_key(scan_id):
    for make in (
        parse_scan_id,
        result_key,
        status_key,
        lambda each: artefact_key(each, "frames/0/pose.json"),
    ):
        with pytest.raises(InvalidRequest):
            make(scan_id)


@given(st.text())
def test_a_key_never_leaves_the_folder_of_its_scan(text):
    try:
        key = result_key(text)
    except InvalidRequest:
        return
    assert key.split("/") == [text, "result.json"]


def test_an_error_does_not_repeat_what_was_sent():
    with pytest.raises(InvalidRequest) as error:
        parse_scan_id("secret/../../etc")
    assert "secret" not in str(error.value)


def test_a_scan_is_named_by_a_keyword_or_by_an_object():
    assert scan_id_of(None, "a") == "a"
    assert scan_id_of({"scan_id": "a"}, None) == "a"


@pytest.mark.parametrize(
    ("arrival", "scan_id"),
    [
        (None, None),
        ({"scan_id": "a"}, "a"),
        ({}, None),
        ({"scan_id": "a", "bucket": "b"}, None),
        ("a", None),
        (["a"], None),
    ],
)
def test_an_arrival_of_another_form_is_refused(arrival, scan_id):
    with pytest.raises(InvalidRequest):
        scan_id_of(arrival, scan_id)


def test_keys_are_a_function_of_scan_and_artefact():
    assert result_key("s") == "s/result.json"
    assert status_key("s") == "s/status.json"
    assert artefact_key("s", "frames/12/blurred.jpg") == "s/frames/12/blurred.jpg"


@pytest.mark.parametrize(
    "name", ["result.json", "frames/x/pose.json", "frames/0/../pose.json", "frames/0/rgb_p1_1_100_1.jpg", ""]
)
def test_an_artefact_of_another_name_is_not_stored(name):
    with pytest.raises(ValueError, match="an artefact's name") as error:
        artefact_key("s", name)
    assert "p1" not in str(error.value)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {"scan_id": "a"}),
        ([{"scan_id": "a"}], {}),
        ([], {"arrival": {"scan_id": "a"}}),
        ([], {"scan_id": "a", "force": True, "resent": False}),
    ],
)
def test_these_call_the_task_for_a_scan(args, kwargs):
    assert check_call(args, kwargs) == "a"


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ([], {}, "a scan id is"),
        ([], {"scan_id": "../a"}, "a scan id is"),
        ([], {"scan_id": "a", "path": "/etc"}, "nothing else"),
        (["a", "b"], {}, "nothing else"),
        ([{"scan_id": "a"}], {"arrival": {"scan_id": "a"}}, "nothing else"),
        ([{"scan_id": "a"}], {"scan_id": "a"}, "given twice"),
        ([], {"scan_id": "a", "force": "yes"}, "force is true or false"),
    ],
)
def test_these_do_not(args, kwargs, reason):
    with pytest.raises(InvalidRequest, match=reason):
        check_call(args, kwargs)
