from __future__ import annotations

from typing import Any

import pytest

from worker.config.urls import S3Url
from worker.intake.s3_notifications import records_of, scan_of
from worker.keys import InvalidRequest

SCANS = S3Url("scans", "in/coming/")
RESULTS = S3Url("scans", "results/")


def record(key: str, event: str = "ObjectCreated:Put", bucket: str = "scans", **more: Any) -> dict[str, Any]:
    """As in Amazon's documentation, shortened."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1024}},
        **more,
    }


def seaweed(key: str, event: str = "create", folder: bool = False) -> dict[str, Any]:
    entry = {"name": key.rpartition("/")[2], "is_directory": folder}
    return {"key": key, "event_type": event, "message": {"new_entry": entry}}


KEY = "in/coming/scan-1/rgb/rgb_1.jpg"
NOTIFICATIONS = {
    "Amazon": {"Records": [record(KEY)]},
    "Ceph": {"Records": [record(KEY, event="s3:ObjectCreated:Put", eventSource="ceph:s3")]},
    "MinIO": {"EventName": "s3:ObjectCreated:Put", "Key": f"scans/{KEY}", "Records": [record(KEY)]},
    "MinIO on a Redis list": [{"Event": [record(KEY)], "EventTime": "2026-11-22T11:46:04Z"}],
    "SeaweedFS": seaweed(f"/buckets/scans/{KEY}"),
}


@pytest.mark.parametrize("sender", NOTIFICATIONS)
def test_each_kind_of_s3_tells_of_the_scan_that_an_object_came_for(sender):
    (found,) = records_of(NOTIFICATIONS[sender]) or []
    assert scan_of(found, SCANS, RESULTS) == "scan-1"


def test_the_test_that_amazon_sends_at_first_holds_no_record():
    sent = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "scans", "RequestId": "1"}
    assert records_of(sent) == []


@pytest.mark.parametrize(
    "other", [None, 1, "x", [], {}, [[]], {"Records": {}}, {"Event": "s3:TestEvent"}, [{"Event": 1}]]
)
def test_other_json_is_no_notification(other):
    assert records_of(other) is None


def test_several_records_come_one_by_one():
    sent = [{"Event": [record("a"), record("b")]}, {"Event": [record("c")]}]
    assert records_of(sent) == [record("a"), record("b"), record("c")]


@pytest.mark.parametrize(
    "event",
    [
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectCreated:Put",
        "s3:ObjectSynced:Create",
    ],
)
def test_these_events_store_an_object(event):
    assert scan_of(record(KEY, event), SCANS, None) == "scan-1"


@pytest.mark.parametrize(
    "event",
    ["ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put", "ObjectAcl:Put"],
)
def test_these_events_store_no_object(event):
    assert scan_of(record(KEY, event), SCANS, None) is None


def test_nor_does_seaweeds_deletion_nor_a_folder_that_it_makes():
    assert scan_of(seaweed(f"/buckets/scans/{KEY}", "delete"), SCANS, None) is None
    assert scan_of(seaweed("/buckets/scans/in/coming/scan-1", folder=True), SCANS, None) is None


def test_keys_are_decoded_as_in_a_query_except_those_of_ceph():
    place = S3Url("scans", "in coming+1/")
    assert scan_of(record("in+coming%2B1/scan-1/rgb%2Fx.jpg"), place, None) == "scan-1"
    assert scan_of(record("in coming+1/scan-1/x", eventSource="ceph:s3"), place, None) == "scan-1"


def test_results_that_are_written_into_the_same_bucket_are_not_looked_at():
    assert scan_of(record("results/scan-1/result.json"), SCANS, RESULTS) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (record(KEY, bucket="other"), "another bucket"),
        (seaweed(f"/elsewhere/{KEY}"), "another bucket"),
        (record("elsewhere/scan-1/x"), "not below the prefix"),
        (record("in/coming/readme.txt"), "in no scan's folder"),
        (record("in/coming/a b/x"), "a scan id is"),
        (record("in/coming/../x"), "a scan id is"),
        (record("in/coming//x"), "a scan id is"),
        (record("in/coming/%00/x"), "a scan id is"),
        (record(7), "without eventName"),  # type: ignore[arg-type]
        ({"eventName": "ObjectCreated:Put"}, "without eventName"),
        ("x", "without eventName"),
        (None, "without eventName"),
    ],
)
def test_a_record_of_something_else_is_refused_with_the_reason(found, reason):
    with pytest.raises(InvalidRequest, match=reason) as error:
        scan_of(found, SCANS, RESULTS)
    assert "elsewhere" not in str(error.value)
