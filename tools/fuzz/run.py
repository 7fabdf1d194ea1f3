"""`make fuzz`: give many inputs to all readers, and print a table of the outcomes.

Inputs that find a fault are kept in `build/fuzz/<target>/`. Once the reader is fixed, move them to
`tools/fuzz/corpus/<target>/` under a name that says what they are.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from tools.fuzz.process import Tally, Work, run_target
from tools.fuzz.worker_targets import TARGETS

INVENTED_SHARE = 50  # hypothesis makes one in so many inputs; it is much slower


def main(
    count: Annotated[int, typer.Option(min=1, help="Inputs in all.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal inputs.")] = 1,
    target: Annotated[list[str] | None, typer.Option(help="Only these readers.")] = None,
    keep_in: Annotated[Path, typer.Option(help="Folder for inputs that find a fault.")] = Path("build/fuzz"),
) -> None:
    """Give changed and invented inputs to every reader of outside data."""
    unknown = set(target or ()) - set(TARGETS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    chosen = [TARGETS[name] for name in target or TARGETS]
    shares = sum(each.share for each in chosen)
    # A log file has no width, and the table must be whole.
    console, began = Console(width=None if sys.stdout.isatty() else 170), time.monotonic()
    tallies: dict[str, Tally] = {}
    with Progress(console=console, disable=not sys.stdout.isatty()) as progress:
        for each in chosen:
            number = max(1, round(count * each.share / shares))
            bar = progress.add_task(each.name, total=number)
            invented = number // INVENTED_SHARE
            work = Work(each.name, seed, number - invented, invented, keep_in)

            def show(done: int, bar: TaskID = bar) -> None:
                progress.update(bar, completed=done)

            tallies[each.name] = run_target(work, show)
    console.print(table(tallies))
    inputs = sum(tally.inputs for tally in tallies.values())
    console.print(f"{inputs} inputs, seed {seed}, {(time.monotonic() - began) / 60:.1f} minutes")
    faults = [f"{name}: {text}" for name, tally in tallies.items() for text in tally.faults.values()]
    for fault in faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1 if faults else 0)


def table(tallies: dict[str, Tally]) -> Table:
    """Return the table, one row for each target. An exclamation mark marks faults."""
    shown = Table(
        "target", "inputs", "invented", "outcomes", "slowest (s)", "input", "peak (MiB)", "limit (MiB)"
    )
    for name, tally in tallies.items():
        outcomes = ", ".join(f"{kind} {count}" for kind, count in tally.kinds.most_common())
        seconds, which = tally.slowest
        memory = f"{tally.traced_mib:.1f}", str(TARGETS[name].limit_mib)
        numbers = str(tally.inputs), str(tally.made_by_hypothesis)
        shown.add_row(name, *numbers, outcomes, f"{seconds:.3f}", which, *memory)
    return shown


if __name__ == "__main__":
    typer.run(main)
