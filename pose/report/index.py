"""The page with all scans: a table to search, filter and sort."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pose.report import texts as words
from pose.report.document import render
from pose.report.lengths import Length, body_length, in_centimetres, stature
from pose.report.stored import ScanStatus
from pose.report.texts import N_, Texts
from pose.results import ScanResult


@dataclass(frozen=True)
class Entry:
    """A scan's row of the index.

    Attributes:
        scan_id: its id.
        page: relative address of its page; empty if it has none.
        status: a code of `texts.STATUSES`.
        reason: why it has no result; empty if it has one.
        finished_at: in UTC, as ISO 8601; empty if unknown.
        verdict, posture: codes; empty without a result.
        body_length, stature: value, low and high in centimetres, or None.
        frames: "8 / 9": frames that count, and all; empty without a result.
    """

    scan_id: str
    page: str
    status: str
    reason: str = ""
    finished_at: str = ""
    verdict: str = ""
    posture: str = ""
    body_length: tuple[float, float, float] | None = None
    stature: tuple[float, float, float] | None = None
    frames: str = ""


def entry_of(scan_id: str, status: ScanStatus, result: ScanResult | None, page: str = "") -> Entry:
    """Return the row of a scan; `result` is None if it has no result that can be read."""
    if result is None:
        return Entry(scan_id, page, status.status, status.reason, status.finished_at)
    return Entry(
        scan_id,
        page,
        status.status,
        status.reason,
        status.finished_at,
        result.verdict.value if result.verdict else "none",
        result.posture.value,
        _rounded(body_length(result)),
        _rounded(stature(result)),
        f"{result.frames_used} / {len(result.frames)}",
    )


def _rounded(length: Length) -> tuple[float, float, float] | None:
    found = in_centimetres(length)
    # One damaged result must not spoil the index: JSON has no infinity.
    if found is None or not all(map(math.isfinite, found)):
        return None
    value, low, high = found
    return round(value, 1), round(low, 1), round(high, 1)


def render_index(entries: Iterable[Entry], texts: Texts) -> str:
    """Return the index of scans as HTML, complete in itself."""
    rows = sorted(entries, key=lambda entry: entry.scan_id)
    return render(
        "index.html.jinja",
        texts,
        scripts=("index.js",),
        styles=("base.css", "index.css"),
        count=len(rows),
        data=_data(rows, texts),
        words=words,
        filters=(
            ("verdict", N_("Verdict"), words.VERDICTS, _used(rows, "verdict")),
            ("posture", N_("Posture"), words.POSTURES, _used(rows, "posture")),
            ("status", N_("Status"), words.STATUSES, _used(rows, "status")),
        ),
        columns=_columns(rows),
    )


def _used(rows: list[Entry], field: str) -> list[str]:
    return sorted({value for row in rows if (value := getattr(row, field))})


def _columns(rows: list[Entry]) -> list[tuple[str, str]]:
    """Return field and title of each column that has something to show."""
    columns = [
        ("scan_id", N_("Scan")),
        ("verdict", N_("Verdict")),
        ("posture", N_("Posture")),
        ("stature", N_("Stature (cm)")),
        ("body_length", N_("Body length (cm)")),
        ("frames", N_("Frames that count")),
        ("status", N_("Status")),
        ("finished_at", N_("Finished (UTC)")),
    ]
    optional = {"stature", "finished_at"}
    return [each for each in columns if each[0] not in optional or any(getattr(row, each[0]) for row in rows)]


def _data(rows: list[Entry], texts: Texts) -> dict[str, Any]:
    """Return what the script shows."""
    return {
        "columns": [field for field, _ in _columns(rows)],
        "rows": [vars(row) for row in rows],
        "words": {
            "verdict": {code: texts.of(text) for code, text in words.VERDICTS.items()},
            "posture": {code: texts.of(text) for code, text in words.POSTURES.items()},
            "status": {code: texts.of(text) for code, text in words.STATUSES.items()},
        },
        "texts": {
            "found": texts.of(N_("{found} of {all} scans")),
            "page": texts.of(N_("Page {page} of {pages}")),
        },
        "language": texts.language,
    }
