"""Notifications of S3 servers about stored objects. Only the scans that they name are used.

Amazon and Ceph send `{"Records": […]}`. MinIO adds other fields to that, or sends `[{"Event": […]}]` to a
Redis list. The records of all three have one form:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
SeaweedFS' webhook sends `{"key": "/buckets/…", "event_type": "create", "message": {…}}`.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_plus

from worker.config.urls import S3Url
from worker.keys import InvalidRequest, ScanId, parse_scan_id

# Event names, which may start with "s3:". ObjectSynced and Replication: the object came from another zone.
_STORED: Final = ("ObjectCreated:", "ObjectSynced:Create", "Replication:Create")
_SEAWEED: Final = "/buckets/"


def records_of(found: object) -> list[object] | None:
    """Return the records of a notification, none for a test message, or None if this is no notification.

    >>> records_of({"Event": "s3:TestEvent", "Bucket": "scans"})
    []
    >>> records_of({"scan_id": "scan-1"}) is None
    True
    """
    match found:
        case {"Records": list(records)}:
            return records
        case {"Event": "s3:TestEvent", "Bucket": str()}:
            return []
        case {"key": str(), "event_type": str()}:
            return [found]
        case [{"Event": list()}, *_]:
            return [record for each in found for record in _events_of(each)]
    return None


def _events_of(each: Any) -> list[object]:
    match each:
        case {"Event": list(records)}:
            return records
    return [each]  # `scan_of` says what is wrong with it


def scan_of(record: object, scans: S3Url, results: S3Url | None) -> ScanId | None:
    """Return the scan whose object was stored, or None if the record is about something else.

    Args:
        record: One of `records_of`.
        scans: Storage of scans.
        results: Storage of results. It may be in the same bucket; objects in it are skipped.

    Raises:
        InvalidRequest: This is no record, or it is about another bucket, another prefix, or no scan's folder.
    """
    stored = _stored_object(record)
    if stored is None:
        return None
    bucket, key = stored
    if results is not None and bucket == results.bucket and results.prefix and key.startswith(results.prefix):
        return None
    if bucket != scans.bucket:
        raise InvalidRequest("it is about another bucket than that of SCANS_URL")
    if not key.startswith(scans.prefix):
        raise InvalidRequest("it is about an object that is not below the prefix of SCANS_URL")
    scan_id, slash, _ = key[len(scans.prefix) :].partition("/")
    if not slash:
        raise InvalidRequest("it is about an object that is in no scan's folder")
    return parse_scan_id(scan_id)


def _stored_object(record: object) -> tuple[str, str] | None:
    """Return bucket and key of an object that was stored, or None if nothing was stored."""
    match record:
        case {"eventName": str(event), "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            if not event.removeprefix("s3:").startswith(_STORED):
                return None
            match record:
                case {"eventSource": "ceph:s3"}:
                    return bucket, key
            return bucket, unquote_plus(key)  # all but Ceph encode keys as in a query
        case {"key": str(), "event_type": str(), "message": {"new_entry": {"is_directory": True}}}:
            return None
        case {"key": str(path), "event_type": str(event)}:
            if event not in ("create", "update"):
                return None
            bucket, _, key = path.removeprefix(_SEAWEED).partition("/")
            return (bucket, key) if path.startswith(_SEAWEED) else ("", path)
    raise InvalidRequest("it has a record without eventName, s3.bucket.name and s3.object.key")
