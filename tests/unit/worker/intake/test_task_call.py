from __future__ import annotations

import pytest

from worker.intake.task_call import parse_call, scan_id_of
from worker.keys import InvalidRequest


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
    assert parse_call(args, kwargs) == "a"


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ([], {}, "a scan id is"),
        ([], {"scan_id": "../a"}, "a scan id is"),
        ([], {"scan_id": "a", "path": "/etc"}, "nothing else"),
        (["a", "b"], {}, "nothing else"),
        ([{"scan_id": "a"}], {"arrival": {"scan_id": "a"}}, "nothing else"),
        ([{"scan_id": "a"}], {"scan_id": "a"}, "names the scan twice"),
        ([], {"scan_id": "a", "force": "yes"}, "force must be true or false"),
    ],
)
def test_other_arguments_are_refused(args, kwargs, reason):
    with pytest.raises(InvalidRequest, match=reason):
        parse_call(args, kwargs)
