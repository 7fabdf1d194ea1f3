"""Readers of the worker and of weights: messages, Celery's envelopes, stored records, files.

Files of torch.save are left out: only files with a published hash or given by their owner are read, and torch
takes seconds for one with a function name of some thousand letters.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final, cast

from celery import Celery
from celery.worker.request import Request
from kombu.asynchronous.timer import to_timestamp
from kombu.transport.virtual import Channel, Message

from pose.errors import InvalidWeights
from pose.report.report import Reports
from pose.report.stored import StoredScan, UnusableResults
from pose.report.texts import load_texts
from pose.weights.checkpoint import read_checkpoint
from tools.fuzz import seeds, strategies
from tools.fuzz.targets import SCAN_TARGETS, BrokenPromise, Target, check_text, memory_folder, promise
from worker.broker.dead_letters import MAX_ENTRY_CHARS, dead_letter
from worker.broker.envelope import InvalidMessage, check_envelope, check_task
from worker.cli.board import Board, as_json, line, table
from worker.config.settings import Settings
from worker.intake.inbox_entry import parse_entry
from worker.intake.task_call import scan_id_of
from worker.keys import ARTEFACT, SCAN_ID, InvalidRequest, artefact_key, parse_scan_id
from worker.scans.event_reader import parse_event
from worker.scans.status import read_status
from worker.scans.transfer import read_result
from worker.storage.base import Storage

MAX_MESSAGE: Final = 64 * 1024
SCAN: Final = parse_scan_id(seeds.SCAN_ID)
_ENGLISH: Final = load_texts()
SETTINGS: Final = Settings(
    scans_url="s3://scans/in", results_url="s3://scans/out", max_message_bytes=MAX_MESSAGE
)


class _Stored:
    """A storage that holds one object under every key."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, key: str, max_bytes: int) -> bytes:
        return self._data[:max_bytes]


def _stored(data: bytes) -> Storage:
    return cast(Storage, _Stored(data))


class WeightsFile:
    """A file of weights, written again for each input."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def __call__(self, data: bytes) -> None:
        if self._path is None:
            self._path = memory_folder() / "weights.safetensors"
        self._path.write_bytes(data)
        checkpoint = read_checkpoint(self._path)
        promise({"name", "version", "variant"} <= set(checkpoint.facts), "the facts that are asked for")
        size = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
        promise(size <= len(data), "no more in the tensors than in the file")


def read_message(data: bytes) -> None:
    """Read a message as a task gets it: JSON of limited size."""
    try:
        value = json.loads(data[:MAX_MESSAGE])
    except (ValueError, RecursionError):
        return
    for arrival, scan_id in ((value, None), (None, value), (value, value)):
        try:
            found = scan_id_of(arrival, scan_id)
        except InvalidRequest as error:
            check_text(error)
            continue
        promise(SCAN_ID.fullmatch(found), "a scan id")
        key = artefact_key(found, "frames/0/pose.json")
        promise(key.count("/") == 3 and ".." not in key, "a key below the scan")
    if isinstance(value, str):
        try:
            key = artefact_key(SCAN, value)
        except ValueError:
            return
        promise(ARTEFACT.fullmatch(key.partition("/")[2]), "an artefact's key")


def read_entry(data: bytes) -> None:
    """Read an entry of the list of arrivals; what cannot be read goes to the dead list."""
    kept = json.loads(dead_letter("a reason", data))
    promise(len(kept["entry"]) <= MAX_ENTRY_CHARS, "a dead letter of limited length")
    arrival = parse_entry(data, SETTINGS)
    scans = (*arrival.announced, *arrival.touched)
    promise(all(SCAN_ID.fullmatch(scan) for scan in scans), "ids of scans")
    if arrival.problem is not None:
        check_text(InvalidRequest(arrival.problem))


def read_stored_status(data: bytes) -> None:
    status = read_status(_stored(data), SCAN)
    if status is not None:
        promise(status.scan_id == seeds.SCAN_ID, "the status of the scan asked for")
        times = (status.updated_at, status.queued_at, status.started_at, status.finished_at)
        promise(all(time is None or time.tzinfo is not None for time in times), "times that can be compared")
        status.model_dump_json()


def read_stored_result(data: bytes) -> None:
    result = read_result(_stored(data), SCAN)
    if result is not None:
        result.model_dump_json()


def read_page(data: bytes) -> None:
    stored = StoredScan(seeds.SCAN_ID, lambda name, _: data if name == "result.json" else None)
    reports = Reports(_ENGLISH)
    page = reports.page(stored)
    promise(page is not None, "a page for a result that is there")
    for html, scripts in ((page or "", 3), (reports.index(), 2)):
        promise(html.lower().count("<script") <= scripts, "no script but the page's own")
        for part in html.split('<script type="application/json"')[1:]:
            json.loads(part.partition(">")[2].partition("</script>")[0], parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise BrokenPromise(f"{name} is not JSON")


def read_event(data: bytes) -> None:
    event = parse_event(data)
    if event is not None:
        row = Board().apply(event)
        if row is not None:
            text = line(row, event.time).plain
            promise(text.isprintable(), "a line that changes no terminal")
            json.dumps(as_json(row, event.time), allow_nan=False)
            table([row], event.time)


class _Decoding:
    """The part of a channel that a message needs to decode its body."""

    codecs = Channel.codecs
    decode_body = Channel.decode_body


def _nothing() -> None: ...


class Envelopes:
    """Check the envelope of a message: Celery must be able to read everything that passes."""

    def __init__(self) -> None:
        self._app = Celery("fuzz", broker="memory://", set_as_current=False)
        self._task = self._app.task(name="worker.process_scan", shared=False)(_nothing)

    def __call__(self, data: bytes) -> None:
        message = Message(check_envelope(data, MAX_MESSAGE), channel=_Decoding())
        message.accept = {"application/json"}
        check_task(message)
        if isinstance(message.payload, list):  # Celery converts its older protocol to this one
            self._take(message)

    def _take(self, message: Message) -> None:
        request = Request(message, app=self._app, task=self._task, hostname="fuzz")
        for moment in (request.eta, request.expires):
            promise(moment is None or math.isfinite(to_timestamp(moment)), "times that can be waited for")
        promise(str(request) and isinstance(request.info(safe=True), dict), "what log and inspect show")
        request.maybe_expire()


WORKER_TARGETS: Final = (
    Target("message", 20, read_message, seeds.MESSAGES, strategies.messages, ()),
    Target("arrival", 40, read_entry, seeds.ARRIVALS, strategies.arrivals, (InvalidRequest,)),
    Target("envelope", 40, Envelopes(), seeds.ENVELOPES, strategies.envelopes, (InvalidMessage,)),
    Target("status", 20, read_stored_status, seeds.STATUSES, strategies.statuses, ()),
    Target("result", 10, read_stored_result, seeds.RESULTS, strategies.statuses, ()),
    Target("page", 10, read_page, seeds.PAGES, strategies.statuses, (UnusableResults,), limit_mib=32),
    Target("event", 10, read_event, seeds.EVENTS, strategies.statuses, ()),
    Target("weights", 40, WeightsFile(), seeds.SAFETENSORS, strategies.safetensors, (InvalidWeights,)),
)
TARGETS: Final = {target.name: target for target in (*SCAN_TARGETS, *WORKER_TARGETS)}
