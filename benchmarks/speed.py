"""Measure the speed of everything, beside the method of the original system: `make bench`.

    python -m benchmarks.speed [--quick] [--json FILE]

The time of each stage, of a scan from its files to its results, and of workers while scans wait. What the
original does (`benchmarks.original`) is measured in the same run, so the ratios hold on a busy machine too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import pose
from benchmarks.measuring import Timing, machine
from benchmarks.stages import Rates, measure_networks, measure_original, measure_stages, set_threads
from benchmarks.throughput import Throughput, measure_worker, services
from pose.estimators.loading import choose_device
from pose.synthetic.scan_writer import scan_files

SERVICES = ("embedded", "Redis + S3")
FRAMES = 9
_COLUMNS = (
    "over", "processes", "threads", "scans", "scans a minute", "of one process's", "CPU s a scan", "ready s",
    "first scan s", "RSS MiB", "PSS MiB", "USS MiB", "PSS of all", "Redis commands", "Redis kB", "S3 calls",
)  # fmt: skip


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Take two minutes at most: fewer runs.")] = False,
    model: Annotated[str, typer.Option(help="The estimator.")] = "depth-hrnet",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads for the stages.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Show the median of so many runs.")] = 20,
    rgb_repeats: Annotated[int, typer.Option(min=1, help="The same for networks of pictures.")] = 3,
    waiting: Annotated[int, typer.Option(min=1, help="Scans that wait for a worker.")] = 24,
    only: Annotated[str, typer.Option(help="stages, workers, or all.")] = "all",
    output: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Measure stages, whole scans and workers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the workers too
    console = Console(width=None if os.isatty(1) else 150)
    device = choose_device(device)
    rates = Rates(device, threads, 5 if quick else repeats, 1 if quick else rgb_repeats)
    files = dict(scan_files(1, "standing", FRAMES, truth={"frames": []}))
    figures: dict[str, Any] = {"machine": machine(device), "model": model, "frames": FRAMES}
    console.print(" · ".join(f"{name} {value}" for name, value in figures["machine"].items() if value))
    if only in ("all", "stages"):
        timings = time_stages(files, model, rates, quick)
        console.print(table_of_stages(timings, f"{model} on {device}"))
        figures["stages"] = [asdict(each) for each in timings]
    if only in ("all", "workers"):
        processes = (1, 2) if quick else (1, 2, 4)
        workers = time_workers(files, processes, 4 if quick else waiting, model, device)
        console.print(table_of_workers(workers))
        figures["workers"] = [asdict(each) for each in workers]
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"All figures: {output}", soft_wrap=True)


def time_stages(files: Mapping[str, bytes], model: str, rates: Rates, quick: bool) -> list[Timing]:
    """Return the times of the original, of the stages and, unless it must be quick, of all networks."""
    set_threads(rates.threads)
    original = measure_original(files, rates)
    timings = [*original, *measure_stages(files, model, rates, original)]
    if not quick:
        timings += measure_networks(pose.read_scan_files(files).frames[0].rgb, rates)
    return timings


def time_workers(
    files: Mapping[str, bytes], processes: tuple[int, ...], scans: int, model: str, device: str
) -> list[Throughput]:
    """Return what workers did over each kind of services, with each number of processes."""
    found = []
    for over in SERVICES:
        with services(over) as environment:
            if environment is None:
                print(f"{over}: left out, as its servers are not installed (see CONTRIBUTING.md)")
                continue
            chosen = {**environment, "MODEL": model, "DEVICE": device}
            for number in processes:
                found.append(measure_worker(files, over, chosen, number, scans))
                print(
                    f"{over}, {number} processes: {found[-1].scans_per_minute:.1f} scans a minute", flush=True
                )
    return found


def table_of_stages(timings: list[Timing], title: str) -> Table:
    """Return the times of steps as a table."""
    table = Table(title=f"{title}, medians")
    table.add_column("step", overflow="fold")
    for name in ("threads", "runs", "ms", "CPU ms", "of the original's"):
        table.add_column(name, justify="right")
    for each in timings:
        ratio = "" if each.ratio is None else f"1/{1 / each.ratio:.1f}"
        table.add_row(
            each.step, str(each.threads), str(each.runs), f"{each.ms:.1f}", f"{each.cpu_ms:.1f}", ratio
        )
    return table


def table_of_workers(workers: list[Throughput]) -> Table:
    """Return what workers did as a table."""
    table = Table(title=f"workers; scans of {FRAMES} frames wait")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "over" else "right")
    alone = {each.services: each.scans_per_minute for each in workers if each.processes == 1}
    for each in workers:
        memory = each.memory
        calls = "" if each.s3_calls is None else f"{sum(each.s3_calls.values()):.0f}"
        table.add_row(
            each.services,
            str(each.processes),
            str(each.threads),
            str(each.scans),
            f"{each.scans_per_minute:.1f}",
            f"{each.scans_per_minute / alone[each.services]:.2f}" if each.services in alone else "",
            f"{each.cpu_s:.2f}",
            f"{each.ready_s:.1f}",
            f"{each.first_scan_s:.1f}",
            *(f"{value:.0f}" for value in (memory.rss, memory.pss, memory.uss, each.total_pss)),
            "" if each.redis_commands is None else f"{each.redis_commands:.0f}",
            "" if each.redis_bytes is None else f"{each.redis_bytes / 1000:.0f}",
            calls,
        )
    return table


if __name__ == "__main__":
    typer.run(main)
