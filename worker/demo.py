"""The whole system, once: two rendered scans, a real worker, and what it found. `python -m worker.demo`.

Each step is a command that you can type, and is run as one; all of them run in one new folder with nothing
configured. Progress is read from `status.json` and the figures from `result.json`, as any program would.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker.cli.subprocesses import Command, CommandFailed, Commands, Stopped, StopRequests
from worker.config.settings import Settings
from worker.scans.status import ScanStatus, Status

# Nothing has moved for so long: something is stuck. A frame takes well under a second.
STALL_S: Final = 180.0


class DemoFailed(Exception):
    """What went wrong, for a person to read."""


@dataclass(frozen=True)
class DemoScan:
    """A scan to render. The seed decides on the child, the pose, the room and the view."""

    scan_id: str
    posture: str
    seed: int


# Seeds whose child is alone and wholly in view: what a person with a phone would take care of.
SCANS: Final = (DemoScan("demo-standing", "standing", 1), DemoScan("demo-lying", "lying", 7))


def main(
    out: Annotated[Path | None, typer.Option(help="A new folder for all that is made.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=99, help="Frames of each scan.")] = 9,
) -> None:
    """Render two scans, let a worker analyse them, and show what it found."""
    console = Console()
    folder = (out or Path("demo-results") / time.strftime("%Y-%m-%d_%H%M%S")).absolute()
    if folder.exists() and any(folder.iterdir()):
        console.print(f"{folder} is not empty", style="red", soft_wrap=True)
        raise typer.Exit(2)
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"In {folder}:", soft_wrap=True)
    try:
        with (
            StopRequests() as stop_requests,
            Commands(folder, unconfigured_environment(), stop_requests) as commands,
        ):
            try:
                run(folder, frames, commands, console)
                console.print(table(folder))
                where = folder / "results"
                console.print(f"Results, with pictures in each frame's folder: {where}", soft_wrap=True)
            finally:
                console.print("Stopping the worker")
    except Stopped as stopped:
        console.print(f"{stopped}; nothing is left running", markup=False)
        raise typer.Exit(128 + stopped.signum) from None
    except (DemoFailed, CommandFailed) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
        console.print(f"What the commands wrote is in {folder}/*.log", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def run(folder: Path, frames: int, commands: Commands, console: Console) -> None:
    """All steps up to the results. The worker still runs then: `commands` ends it.

    Raises:
        DemoFailed: a scan failed, or nothing moves any more.
        CommandFailed: the worker or another command ended with an error.
        Stopped: by a signal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def start(shown: str, program: list[str], log: str) -> Command:
            console.print(f"$ {shown}", markup=False, highlight=False)
            return commands.start(shown, [*program, *shown.split()[1:]], log)

        # `celery` and `pose` as modules: so those of this very Python are taken, whatever the PATH holds.
        python = sys.executable
        worker = start("celery -A worker worker", [python, "-m", "celery"], "worker.log")
        rows = {scan.scan_id: progress.add_task("", total=frames) for scan in SCANS}

        def follow(ready: Callable[[], bool], look: Callable[[DemoScan], tuple[str, int]]) -> None:
            """Wait for `ready`, and show what `look` says of each scan meanwhile."""
            for row in rows.values():
                progress.reset(row)
            last: list[tuple[str, int]] = []
            moved = time.monotonic()

            def until() -> bool:
                nonlocal last, moved
                worker.check_alive()
                done_before = ready()
                now = [look(scan) for scan in SCANS]
                if now != last:
                    last, moved = now, time.monotonic()
                    for scan, (doing, done) in zip(SCANS, now, strict=True):
                        text = f"{scan.scan_id}: {doing:<9}"
                        progress.update(rows[scan.scan_id], description=text, completed=done)
                if time.monotonic() - moved > STALL_S:
                    raise DemoFailed(f"nothing has moved for {STALL_S:.0f} s")
                return done_before

            commands.wait(until)

        renderings = [
            start(
                f"pose bodies scans/{scan.scan_id} --seed {scan.seed} --posture {scan.posture}"
                f" --frames {frames}",
                [python, "-m", "pose"],
                f"render-{scan.posture}.log",
            )
            for scan in SCANS
        ]
        # Lists, not generators: each of them is looked at, so a failure shows at once.
        follow(lambda: all([each.ended_well() for each in renderings]), lambda scan: rendered(folder, scan))

        ids = " ".join(scan.scan_id for scan in SCANS)
        enqueue = start(f"python -m worker enqueue {ids}", [python], "enqueue.log")
        follow(
            lambda: enqueue.ended_well() and all([finished(folder, scan) for scan in SCANS]),
            lambda scan: analysed(folder, scan),
        )


def unconfigured_environment() -> dict[str, str]:
    """Ours without any setting of the worker or of Celery: the demo must not meet a broker in use.

    Models of pictures do not know rendered people: the embedded one is at work, whatever weights are here.
    """
    ours = {field.validation_alias for field in Settings.model_fields.values()}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in ours and name not in ours and not name.startswith("CELERY_")
    }
    return {**kept, "MODEL": "depth-hrnet"}


def rendered(folder: Path, scan: DemoScan) -> tuple[str, int]:
    """What to show of a scan while it is rendered: a word, and how many frames are there."""
    return "rendering", len(list((folder / "scans" / scan.scan_id / "depth").glob("*.depth")))


def analysed(folder: Path, scan: DemoScan) -> tuple[str, int]:
    """What to show of a scan that is in the queue: what is done to it, and how many frames are done."""
    status = status_of(folder, scan)
    return (status.stage or status.status, status.frames_done) if status else ("waiting", 0)


def finished(folder: Path, scan: DemoScan) -> bool:
    """Whether the result is there. Raises: DemoFailed, if there will not be one."""
    status = status_of(folder, scan)
    if status and status.status is Status.FAILED:
        raise DemoFailed(f"{scan.scan_id}: {status.reason}")
    return bool(status and status.status.final)


def status_of(folder: Path, scan: DemoScan) -> ScanStatus | None:
    """A scan's `status.json`, or None where it is not there yet."""
    try:
        return ScanStatus.model_validate_json((folder / "results" / scan.scan_id / "status.json").read_text())
    except FileNotFoundError:
        return None


def table(folder: Path) -> Table:
    """What was found, beside the truth that the renderer wrote down."""
    shown = Table(box=box.SIMPLE)
    for title in ("scan", "posture", "length", "truth", "off by", "used", "s/frame"):
        shown.add_column(title, justify="left" if title in ("scan", "posture") else "right")
    for scan in SCANS:
        result = json.loads((folder / "results" / scan.scan_id / "result.json").read_text())
        truth = json.loads((folder / "scans" / scan.scan_id / "truth.json").read_text())
        true_cm = 100 * statistics.median(frame["people"][0]["body_length_m"] for frame in truth["frames"])
        length_cm = None if result["body_length_m"] is None else 100 * result["body_length_m"]
        right = result["posture"] == truth["posture"]
        shown.add_row(
            scan.scan_id,
            f"{result['posture']} {'✓' if right else '✗'}",
            "?" if length_cm is None else f"{length_cm:.1f} cm",
            f"{true_cm:.1f} cm",
            "?" if length_cm is None else f"{length_cm - true_cm:+.1f} cm",
            f"{result['frames_used']} of {len(result['frames'])}",
            f"{result['timings_ms']['total'] / 1000 / len(result['frames']):.2f}",
        )
    return shown


if __name__ == "__main__":
    typer.run(main)
