"""`python -m worker enqueue -`: announce the scans whose ids come on standard input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

import typer

from worker.intake.announce import BulkAnnouncer
from worker.keys import InvalidRequest, ScanId, parse_scan_id
from worker.scans.tombstones import ScanErased

BATCH: Final = 1000
MAX_LINE: Final = 1024
_BOM: Final = b"\xef\xbb\xbf"  # some editors write it at the begin of a file

Line = tuple[int, ScanId]


class LineReader:
    """Reads scan ids, one a line, without keeping them. Blank lines are skipped.

    Args:
        stream: Where the lines come from.

    Attributes:
        refused: Number of lines that were told as unusable.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.refused = 0

    def batches(self) -> Iterator[dict[ScanId, int]]:
        """Yield ids with the numbers of their lines, some at a time."""
        found = self._lines()
        while batch := list(islice(found, BATCH)):
            yield {scan_id: number for number, scan_id in batch}

    def refuse(self, number: int, reason: str) -> None:
        """Tell that a line cannot be used."""
        self.refused += 1
        typer.echo(f"Error: line {number}: {reason}", err=True)

    def _lines(self) -> Iterator[Line]:
        number = 0
        while line := self._stream.readline(MAX_LINE):
            number += 1
            rest = line
            while rest and not rest.endswith(b"\n"):  # too long, or the last one
                rest = self._stream.readline(MAX_LINE)
            text = line.removeprefix(_BOM if number == 1 else b"").strip()
            if not text:
                continue
            try:
                yield number, parse_scan_id(text.decode(errors="replace"))
            except InvalidRequest as error:
                self.refuse(number, str(error))


def enqueue_lines(stream: BinaryIO, announcer: BulkAnnouncer, looked_at: list[ScanId]) -> tuple[int, int]:
    """Announce the scans of a stream, and say which are in the queue and which lines cannot be used.

    Args:
        stream: Lines with scan ids.
        announcer: Announces them.
        looked_at: The first scans are added to it, for whoever looks for their files.

    Returns:
        Numbers of the scans in the queue and of the lines that cannot be used.

    Raises: as `BulkAnnouncer.announce`. What was told as queued is in the queue.
    """
    reader = LineReader(stream)
    queued = 0
    for lines in reader.batches():
        scan_ids = list(lines)
        # Few scans do not pay for a listing of all results.
        small = not queued and len(scan_ids) < BATCH
        erased = announcer.announce(scan_ids) if small else announcer.announce_batch(scan_ids)
        for scan_id in scan_ids:
            if scan_id in erased:
                reader.refuse(lines[scan_id], str(ScanErased()))
        done = [scan_id for scan_id in scan_ids if scan_id not in erased]
        queued += len(done)
        if done:
            typer.echo("".join(f"{scan_id}: queued\n" for scan_id in done), nl=False)
        looked_at += done[: BATCH - len(looked_at)]
    return queued, reader.refused
