"""Scans that other programs announce in plain JSON, without Celery: what an entry of their list says.

`{"scan_id": "…"}`, `{"scan_ids": ["…", …]}`, or a notification of S3 (`worker.intake.s3_notifications`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.config.settings import Settings
from worker.config.urls import S3Url, parse_storage_url
from worker.intake.s3_notifications import records_of, scan_of
from worker.intake.task_call import scan_id_of
from worker.keys import InvalidRequest, ScanId, parse_scan_id


@dataclass(frozen=True)
class InboxEntry:
    """What an entry says.

    Attributes:
        announced: scans that are complete.
        touched: scans of which an object came. There may be more to come.
        problem: what part of the entry could not be taken, for a person to read.
    """

    announced: tuple[ScanId, ...] = ()
    touched: tuple[ScanId, ...] = ()
    problem: str | None = None


def parse_entry(entry: bytes, settings: Settings) -> InboxEntry:
    """Read an entry of the list of arrivals. Where some of its scans are wrong, the others still count.

    Raises:
        InvalidRequest: it is too long, not JSON, or says nothing that we know. No text repeats what was sent.
    """
    if len(entry) > settings.max_message_bytes:
        raise InvalidRequest(f"it has more than {settings.max_message_bytes} bytes")
    try:
        found = json.loads(entry)
    except (ValueError, RecursionError):
        raise InvalidRequest("it is not JSON") from None
    records = records_of(found)
    if records is not None:
        scans = parse_storage_url(settings.scans_url)
        results = parse_storage_url(settings.results_url)
        if not isinstance(scans, S3Url):
            raise InvalidRequest("it is a notification of S3, but SCANS_URL is a folder")
        elsewhere = results if isinstance(results, S3Url) else None
        touched, problem = _each(records, "record", lambda record: scan_of(record, scans, elsewhere))
        return InboxEntry(touched=touched, problem=problem)
    if isinstance(found, dict) and set(found) == {"scan_ids"} and isinstance(found["scan_ids"], list):
        if not found["scan_ids"]:
            raise InvalidRequest("its scan_ids are empty")
        announced, problem = _each(found["scan_ids"], "scan id", parse_scan_id)
        return InboxEntry(announced=announced, problem=problem)
    if not isinstance(found, dict) or set(found) != {"scan_id"}:
        raise InvalidRequest(
            'it is neither {"scan_id": "…"} nor {"scan_ids": ["…"]} nor a notification of S3'
        )
    return InboxEntry(announced=(scan_id_of(found, None),))


def _each(
    parts: Iterable[object], name: str, read: Callable[[object], ScanId | None]
) -> tuple[tuple[ScanId, ...], str | None]:
    """The scans of the parts, each once and in their order, and what is wrong with the first bad part."""
    scans: dict[ScanId, None] = {}
    problem: str | None = None
    for number, part in enumerate(parts, start=1):
        try:
            scan_id = read(part)
        except InvalidRequest as error:
            problem = problem or f"{name} {number}: {error}"
            continue
        if scan_id is not None:
            scans[scan_id] = None
    return tuple(scans), problem
