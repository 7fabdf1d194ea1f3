"""Measure whether a process grows over many scans: `python -m benchmarks.memory [--scans 1000]`.

It does what a worker does with a scan, over and over, with the built-in scan of one frame.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.throughput import memory_of
from worker.config.logs import setup_logging
from worker.config.settings import read_settings
from worker.keys import parse_scan_id
from worker.models.loading import get_estimator, get_face_detector, limit_threads
from worker.models.memory import give_back_memory
from worker.scans.process import process
from worker.scans.self_check import NAME, known_good
from worker.scans.transfer import limits_of
from worker.storage.opening import open_storages

IDS = 20


def main(
    scans: Annotated[int, typer.Option(min=1, help="Scans that are analysed after the first ones.")] = 1000,
    every: Annotated[int, typer.Option(min=1, help="Print a line after so many scans.")] = 100,
) -> None:
    """Print the memory of this process while it analyses scans."""
    setup_logging(level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "scans").mkdir()
        places = {name: Path(folder, name).as_uri() for name in ("scans", "results")}
        settings = read_settings(
            model="depth-hrnet", device="cpu", scans_url=places["scans"], results_url=places["results"]
        )
        limit_threads(settings, 1)
        estimator, faces = get_estimator(settings), get_face_detector(settings)
        stored, results = open_storages(settings)
        scan_ids = [parse_scan_id(f"scan-{i}") for i in range(IDS)]
        for scan_id in scan_ids:
            for name, data in known_good().items():
                stored.write(name.replace(NAME, scan_id, 1), data, "application/octet-stream")
        first = 0.0
        for i in range(scans + IDS + 1):
            process(
                scan_ids[i % IDS],
                stored,
                results,
                estimator,
                limits_of(settings),
                lambda *_: None,
                face_detector=faces,
                force=True,
            )
            give_back_memory()
            own = memory_of(os.getpid()).uss
            if i == IDS:
                first = own
            if i >= IDS and (i - IDS) % every == 0:
                print(
                    f"{i - IDS} scans: {own:.1f} MiB of its own, {100 * (own / first - 1):+.2f} %", flush=True
                )


if __name__ == "__main__":
    typer.run(main)
