"""Malformed entries for the lists. Each contains its own mark."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from typing import Any, Final

from tools.chaos.settings import MAX_MESSAGE_BYTES

Entry = Callable[[str], bytes]


def _message(mark: str, body: bytes, headers: dict[str, Any], **properties: Any) -> bytes:
    """Return an entry of Celery's queue."""
    # The mark comes before the body, because only the start of a long entry is kept.
    envelope = {
        "headers": {"lang": "py", "task": "worker.process_scan", "id": mark, **headers},
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "properties": {
            "correlation_id": mark,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": mark,
            **properties,
        },
        "body": base64.b64encode(body).decode(),
    }
    return json.dumps(envelope).encode()


def _call(scan_id: str) -> bytes:
    return json.dumps([[], {"scan_id": scan_id}, {}]).encode()


def _with_content_type(entry: bytes, content_type: str) -> bytes:
    return json.dumps({**json.loads(entry), "content-type": content_type}).encode()


# Entries that end on `celery:dead`.
MESSAGES: Final[tuple[Entry, ...]] = (
    lambda mark: f"no JSON at all, {mark}".encode(),
    lambda mark: b"\xff\xfe\x00" + mark.encode(),
    lambda mark: json.dumps({"scan_id": mark}).encode(),
    lambda mark: json.dumps(["a list", mark]).encode(),
    lambda mark: _message(mark, b"", {}).replace(b'"body": ""', b'"body": "%%%"'),
    lambda mark: _message(mark, b"{no JSON", {}),
    lambda mark: _message(mark, json.dumps("no triple").encode(), {}),
    lambda mark: _message(mark, _call("../x"), {}),
    lambda mark: _message(mark, _call("x"), {"task": 7}),
    lambda mark: _message(mark, _call("x"), {"eta": "tomorrow"}),
    lambda mark: _message(mark, _call("x"), {"task": "nobody.knows"}),
    lambda mark: _message(mark, _call("x"), {}, priority="high"),
    lambda mark: _message(mark, _call("x"), {}, delivery_info=None),
    lambda mark: _message(mark, _call("x" * MAX_MESSAGE_BYTES), {}),
    lambda mark: _with_content_type(
        _message(mark, pickle.dumps([(), {}, {}]), {}), "application/x-python-serialize"
    ),
)
# Entries that end on the dead list of arrivals.
ARRIVALS: Final[tuple[Entry, ...]] = (
    lambda mark: f"no JSON at all, {mark}".encode(),
    lambda mark: b"\xff\xfe\x00" + mark.encode(),
    lambda mark: json.dumps([mark]).encode(),
    lambda mark: json.dumps({"scans": mark}).encode(),
    lambda mark: json.dumps({"scan_id": f"../{mark}"}).encode(),
    lambda mark: json.dumps({"scan_id": mark, "more": 1}).encode(),
    lambda mark: json.dumps({"scan_ids": [f"{mark}/x", 7]}).encode(),
    lambda mark: json.dumps({"mark": mark, "scan_id": "x" * MAX_MESSAGE_BYTES}).encode(),
    lambda mark: json.dumps({"Records": [{"eventName": mark}]}).encode(),
    lambda mark: json.dumps(
        {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": "another"}, "object": {"key": f"{mark}/rgb/a.jpg"}},
                }
            ]
        }
    ).encode(),
)
