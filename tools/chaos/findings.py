"""Read what a run left on the servers, without the project's own code."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, cast

from tools.chaos.producers import QUEUE
from tools.chaos.servers import Servers
from tools.chaos.settings import ARRIVALS, EVENTS, RESULTS

PREFIX: Final = "pose/"
THREADS: Final = 8
# Replaces a scan's id, so that two scans of the same files can be compared.
ANY: Final = b"ANY-SCAN"


@dataclass(frozen=True)
class Published:
    """Everything stored of one scan.

    Attributes:
        status: its status.json; None if there is none.
        result: its result.json; None if there is none.
        digests: SHA-256 of every other object, by its name in the scan's folder.
        alike: the same, with the scan's id replaced in the content.
    """

    status: dict[str, Any] | None
    result: dict[str, Any] | None
    digests: dict[str, str]
    alike: dict[str, str]

    @property
    def said(self) -> str:
        """Return the status, final or not."""
        return str((self.status or {}).get("status"))

    @property
    def reason(self) -> str:
        return str((self.status or {}).get("reason"))


@dataclass(frozen=True)
class Event:
    """An event of the stream: its type without the common prefix, the scan's id, and its data."""

    type: str
    scan_id: str
    data: dict[str, Any] = field(default_factory=dict)


def read_published(servers: Servers, scan_ids: list[str]) -> dict[str, Published]:
    """Return what is stored of each scan."""
    with ThreadPoolExecutor(THREADS) as threads:
        return dict(zip(scan_ids, threads.map(lambda each: _read(servers, each), scan_ids), strict=True))


def _read(servers: Servers, scan_id: str) -> Published:
    start = f"{PREFIX}{scan_id}/"
    found: dict[str, bytes] = {}
    listed = servers.s3.list_objects_v2(Bucket=RESULTS, Prefix=start).get("Contents", [])
    for each in listed:
        body = servers.s3.get_object(Bucket=RESULTS, Key=each["Key"])["Body"].read()
        found[each["Key"].removeprefix(start)] = body
    status, result = (_json(found.pop(name, None)) for name in ("status.json", "result.json"))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    plain = {
        name: hashlib.sha256(data.replace(scan_id.encode(), ANY)).hexdigest() for name, data in found.items()
    }
    return Published(status, result, digests, plain)


def _json(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else json.loads(data)


def final_scans(servers: Servers, scan_ids: list[str]) -> set[str]:
    """Return the scans whose status is final."""

    def final(scan_id: str) -> bool:
        try:
            answer = servers.s3.get_object(Bucket=RESULTS, Key=f"{PREFIX}{scan_id}/status.json")
        except servers.s3.exceptions.NoSuchKey:
            return False
        return json.loads(answer["Body"].read())["status"] in ("completed", "failed")

    with ThreadPoolExecutor(THREADS) as threads:
        return {each for each, done in zip(scan_ids, threads.map(final, scan_ids), strict=True) if done}


def read_events(servers: Servers) -> dict[str, list[Event]]:
    """Return the events of each scan in order. An event that came twice with the same id counts once."""
    found: dict[str, list[Event]] = defaultdict(list)
    told: set[str] = set()
    for _, fields in cast("list[Any]", servers.redis.xrange(EVENTS)):
        event = json.loads(fields[b"event"])
        if event["id"] in told:
            continue
        told.add(event["id"])
        kind = event["type"].removeprefix("org.pose-worker.")
        found[event["subject"]].append(Event(kind, event["subject"], event["data"]))
    return found


def left_over(servers: Servers) -> dict[str, int]:
    """Return the number of entries in each place that must be empty when all work is done."""
    client = servers.redis
    return {
        "queue": client.llen(QUEUE),
        "queue, to come later": client.zcard(f"{QUEUE}:delayed"),
        "queue, unacknowledged": client.hlen("unacked") + client.zcard("unacked_index"),
        "arrivals": client.llen(ARRIVALS),
        "arrivals in work": client.llen(f"{ARRIVALS}:work"),
        "scans that settle": client.zcard(f"{ARRIVALS}:settling"),
        "open scans": client.zcard("pose:open"),
        # Of scans. Those of beat and of its work have a name that is no scan's id.
        "locks": sum(1 for key in client.scan_iter("pose:lock:*") if b"*" not in key),
    }


def dead_letters(servers: Servers, source: str) -> list[dict[str, str]]:
    """Return the entries of a dead list."""
    return [json.loads(entry) for entry in cast("list[bytes]", servers.redis.lrange(f"{source}:dead", 0, -1))]
