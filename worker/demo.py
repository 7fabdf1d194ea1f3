"""`python -m worker.demo`: render two scans, let a real worker analyse them, and show what it found.

Each step is a command that you can type too. All commands run in one new folder, without any settings. The
demo reads progress from `status.json` and the results from `result.json`, as any other program would.
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

# Give up if there was no progress for so long. A frame takes less than a second.
STALL_S: Final = 180.0


class DemoFailed(Exception):
    """Raised when the demo cannot go on. The text says why, for a person to read."""


@dataclass(frozen=True)
class DemoScan:
    """A scan to render. The seed determines the child, the pose, the room and the view."""

    scan_id: str
    posture: str
    seed: int


# With these seeds the child is alone and completely in view, as in a scan that a careful person takes.
SCANS: Final = (DemoScan("demo-standing", "standing", 1), DemoScan("demo-lying", "lying", 7))


def main(
    out: Annotated[Path | None, typer.Option(help="A new folder for all files.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=99, help="Frames of each scan.")] = 9,
) -> None:
    """Render two scans, let a worker analyse them, and show the results."""
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
    """Run all steps up to the results. The worker still runs after that, until `commands` ends it.

    Raises:
        DemoFailed: A scan failed, or there is no progress.
        CommandFailed: The worker or another command ended with an error.
        Stopped: By a signal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def start(shown: str, program: list[str], log: str) -> Command:
            console.print(f"$ {shown}", markup=False, highlight=False)
            return commands.start(shown, [*program, *shown.split()[1:]], log)

        # Run `celery` and `pose` as modules of this Python, whatever the PATH holds.
        python = sys.executable
        worker = start("celery -A worker worker", [python, "-m", "celery"], "worker.log")
        rows = {scan.scan_id: progress.add_task("", total=frames) for scan in SCANS}

        def show_until(finished: Callable[[], bool], state: Callable[[DemoScan], tuple[str, int]]) -> None:
            """Show the state of each scan, a word and the number of frames done, until `finished()`."""
            for row in rows.values():
                progress.reset(row)
            last: list[tuple[str, int]] = []
            last_change = time.monotonic()

            def show() -> bool:
                nonlocal last, last_change
                worker.check_alive()
                end = finished()
                states = [state(scan) for scan in SCANS]  # after `finished`, so the last state is shown too
                if states != last:
                    last, last_change = states, time.monotonic()
                    for scan, (word, done) in zip(SCANS, states, strict=True):
                        text = f"{scan.scan_id}: {word:<9}"
                        progress.update(rows[scan.scan_id], description=text, completed=done)
                if time.monotonic() - last_change > STALL_S:
                    raise DemoFailed(f"there was no progress for {STALL_S:.0f} s")
                return end

            commands.wait(show)

        renderings = [
            start(
                f"pose bodies scans/{scan.scan_id} --seed {scan.seed} --posture {scan.posture}"
                f" --frames {frames}",
                [python, "-m", "pose"],
                f"render-{scan.posture}.log",
            )
            for scan in SCANS
        ]
        # Lists, not generators: `all` must see each command, so that a failure shows at once.
        show_until(
            lambda: all([each.ended_well() for each in renderings]),
            lambda scan: rendering_state(folder, scan),
        )

        ids = " ".join(scan.scan_id for scan in SCANS)
        enqueue = start(f"python -m worker enqueue {ids}", [python], "enqueue.log")
        show_until(
            lambda: enqueue.ended_well() and all([is_finished(folder, scan) for scan in SCANS]),
            lambda scan: analysis_state(folder, scan),
        )


def unconfigured_environment() -> dict[str, str]:
    """Return the environment without settings of worker and Celery: the demo must not use a real broker.

    The model is the embedded one: models of pictures do not recognise rendered people. The scans are complete
    when they are announced, so nobody waits for more files.
    """
    ours = {field.validation_alias for field in Settings.model_fields.values()}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in ours and name not in ours and not name.startswith("CELERY_")
    }
    return {**kept, "MODEL": "depth-hrnet", "ARRIVALS_QUIET_S": "0"}


def rendering_state(folder: Path, scan: DemoScan) -> tuple[str, int]:
    """Return what to show while a scan is rendered: a word, and the number of frames done."""
    return "rendering", len(list((folder / "scans" / scan.scan_id / "depth").glob("*.depth")))


def analysis_state(folder: Path, scan: DemoScan) -> tuple[str, int]:
    """Return what to show while a scan is analysed: its stage or status, and the number of frames done."""
    status = status_of(folder, scan)
    return (status.stage or status.status, status.frames_done) if status else ("waiting", 0)


def is_finished(folder: Path, scan: DemoScan) -> bool:
    """Return whether a scan is completed. Raise `DemoFailed` if it failed."""
    status = status_of(folder, scan)
    if status and status.status in (Status.FAILED, Status.CANCELLED):
        raise DemoFailed(f"{scan.scan_id}: {status.reason}")
    return bool(status and status.status.final)


def status_of(folder: Path, scan: DemoScan) -> ScanStatus | None:
    """Return the `status.json` of a scan, or None if it is not there yet."""
    try:
        return ScanStatus.model_validate_json((folder / "results" / scan.scan_id / "status.json").read_text())
    except FileNotFoundError:
        return None


def table(folder: Path) -> Table:
    """Return a table of the results, beside the true values that the renderer wrote down."""
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
