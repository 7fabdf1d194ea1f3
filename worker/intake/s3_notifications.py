"""What S3, and what speaks like it, sends when an object was stored. Which scans it is about is all we take.

Amazon and Ceph send `{"Records": […]}`, MinIO this with more around it or, on a Redis list,
`[{"Event": […]}]`, all with records of one form:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
SeaweedFS' webhook sends `{"key": "/buckets/…", "event_type": "create", "message": {…}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from worker.config.urls import S3Url
from worker.keys import InvalidRequest, ScanId, parse_scan_id

# Names of events, with or without "s3:" before them. ObjectSynced and Replication: it came from another zone.
_STORED: Final = ("ObjectCreated:", "ObjectSynced:Create", "Replication:Create")
_SEAWEED: Final = "/buckets/"


def records_of(found: object) -> list[object] | None:
    """The records of a notification; none of a test; None of something that is no notification."""
    match found:
        case {"Records": list(records)}:
            return records
        case {"Event": "s3:TestEvent", "Bucket": str()}:
            return []
        case {"key": str(), "event_type": str()}:
            return [found]
        case [{"Event": list()}, *_]:
            return [record for each in found for record in _events(each)]
    return None


def scan_of(record: object, scans: S3Url, results: S3Url | None) -> ScanId | None:
    """The scan that an object was stored of; None where the record tells of something else.

    Args:
        record: one of `records_of`.
        scans: where scans are.
        results: where results go, which may be the same bucket: what we write there is not looked at.

    Raises:
        InvalidRequest: it is no record, or of another bucket or prefix, or of no scan's folder.
    """
    stored = _stored(record)
    if stored is None:
        return None
    bucket, key = stored
    if results is not None and bucket == results.bucket and results.prefix and key.startswith(results.prefix):
        return None
    if bucket != scans.bucket:
        raise InvalidRequest("it tells of another bucket than that of SCANS_URL")
    if not key.startswith(scans.prefix):
        raise InvalidRequest("it tells of an object that is not below the prefix of SCANS_URL")
    scan_id, inside, _ = key[len(scans.prefix) :].partition("/")
    if not inside:
        raise InvalidRequest("it tells of an object that is in no scan's folder")
    return parse_scan_id(scan_id)


def _stored(record: object) -> tuple[str, str] | None:
    """Bucket and key of an object that was stored."""
    match record:
        case {"eventName": str(event), "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            if not event.removeprefix("s3:").startswith(_STORED):
                return None
            # All but Ceph encode keys as in a query.
            plain = isinstance(record, Mapping) and record.get("eventSource") == "ceph:s3"
            return bucket, key if plain else unquote_plus(key)
        case {"key": str(path), "event_type": str(event)}:
            if event not in ("create", "update") or _is_folder(record):
                return None
            bucket, _, key = path.removeprefix(_SEAWEED).partition("/")
            return (bucket, key) if path.startswith(_SEAWEED) else ("", path)
    raise InvalidRequest("it has a record without eventName, s3.bucket.name and s3.object.key")


def _is_folder(record: Any) -> bool:
    match record:
        case {"message": {"new_entry": {"is_directory": True}}}:
            return True
    return False


def _events(each: object) -> Iterator[object]:
    match each:
        case {"Event": list(records)}:
            yield from records
        case _:
            yield each
