"""The entries of the inbox: plain JSON from programs that do not use Celery.

An entry is `{"scan_id": "…"}`, `{"scan_ids": ["…", …]}`, or a notification of S3
(`worker.intake.s3_notifications`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.config.settings import Settings
from worker.config.urls import S3Url, parse_storage_url
from worker.intake.s3_notifications import records_of, scan_of
from worker.keys import InvalidRequest, ScanId, parse_scan_id


@dataclass(frozen=True)
class InboxEntry:
    """What an entry says.

    Attributes:
        announced: Scans that are complete.
        touched: Scans of which an object was stored. More objects may come.
        problem: What is wrong with a part of the entry, for a person to read.
    """

    announced: tuple[ScanId, ...] = ()
    touched: tuple[ScanId, ...] = ()
    problem: str | None = None


def parse_entry(raw: bytes, settings: Settings) -> InboxEntry:
    """Parse an entry. If some of its scans are wrong, the others still count.

    Raises:
        InvalidRequest: The entry is too long, not JSON, or in an unknown form. The text does not repeat it.
    """
    if len(raw) > settings.max_message_bytes:
        raise InvalidRequest(f"it has more than {settings.max_message_bytes} bytes")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidRequest("it is not JSON") from None
    records = records_of(found)
    if records is not None:
        scans = parse_storage_url(settings.scans_url)
        results = parse_storage_url(settings.results_url)
        if not isinstance(scans, S3Url):
            raise InvalidRequest("it is a notification of S3, but SCANS_URL is a folder")
        elsewhere = results if isinstance(results, S3Url) else None
        touched, problem = _parse_each(records, "record", lambda record: scan_of(record, scans, elsewhere))
        return InboxEntry(touched=touched, problem=problem)
    match found:
        case {"scan_id": scan_id, **rest} if not rest:
            return InboxEntry(announced=(parse_scan_id(scan_id),))
        case {"scan_ids": list(scan_ids), **rest} if not rest:
            if not scan_ids:
                raise InvalidRequest("its scan_ids are empty")
            announced, problem = _parse_each(scan_ids, "scan id", parse_scan_id)
            return InboxEntry(announced=announced, problem=problem)
    raise InvalidRequest('it is neither {"scan_id": "…"} nor {"scan_ids": ["…"]} nor a notification of S3')


def _parse_each(
    parts: Iterable[object], name: str, parse: Callable[[object], ScanId | None]
) -> tuple[tuple[ScanId, ...], str | None]:
    """Return the scans of all parts, each once and in order, and what is wrong with the first bad part."""
    scans: dict[ScanId, None] = {}
    problem: str | None = None
    for number, part in enumerate(parts, start=1):
        try:
            scan_id = parse(part)
        except InvalidRequest as error:
            problem = problem or f"{name} {number}: {error}"
            continue
        if scan_id is not None:
            scans[scan_id] = None
    return tuple(scans), problem
