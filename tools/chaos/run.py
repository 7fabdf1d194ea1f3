"""`make chaos`: process scans under many faults, and check that each reaches its one right end.

Workers, Redis and S3 are real, the scans are rendered. The seed decides every fault; what a fault hits
depends on the machine. The logs of the workers are kept in `build/chaos/`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from tests.support.running import ROOT
from tools.chaos import findings
from tools.chaos.fleet import Fleet
from tools.chaos.judge import (
    Check,
    check_dead_letters,
    check_events,
    check_exits,
    check_left_over,
    check_scans,
)
from tools.chaos.memory import as_csv, check_memory
from tools.chaos.plan import WORKERS, Form, Plan, PlannedScan, make_plan
from tools.chaos.producers import QUEUE, Producer, follow
from tools.chaos.scans import KINDS
from tools.chaos.servers import Faults, Servers
from tools.chaos.settings import ARRIVALS, SHUTDOWN_GRACE_S

WORKER: Final = ("celery", "-A", "tools.chaos.app", "worker", "-E")
BEAT: Final = ("celery", "-A", "tools.chaos.app", "beat")
START_S: Final = 180.0
STALL_S: Final = 180.0  # after so long without a change, something is stuck
CALM_LOOKS: Final = 4  # a second apart, all without work to do
LOOK_EVERY_S: Final = 1.0

# Log events that show which timeouts expired.
TOLD: Final = {
    "scans sent again": "scan_sent_again",
    "tries after a death": "scan_took_processes",
    "locks lost": "lease_lost",
    "tries put off": "scan_retried",
}

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The checks of a run, and how often each fault and event occurred."""

    checks: list[Check]
    counts: dict[str, int]
    minutes: float

    @property
    def faults(self) -> list[str]:
        return [f"{check.what}: {fault}" for check in self.checks for fault in check.faults]


class ChaosFailed(Exception):
    """Raised when the run itself fails. The text says why."""


def run(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """Run a plan and judge the result.

    Raises:
        ChaosFailed: the run itself failed.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as code, Servers(plan.seed) as servers:
        sample_every_s = max(1.0, plan.seconds / 100)
        environment = {**servers.environment, "PYTHONPATH": _copy_of_code(Path(code))}
        with Fleet(folder, environment, sample_every_s) as fleet:
            _start(fleet, tell)
            producer, faults = Producer(servers), Faults(servers, fleet)
            quiet = _quiet_run(servers, producer)
            _known_ends(quiet)
            tell(f"the run without faults has ended; {len(plan.scans)} scans, {plan.seconds:.0f} s of faults")
            _chaos(plan, producer, faults)
            tell("all faults are over; waiting until all work is done")
            scan_ids = [scan.scan_id for scan in plan.scans]
            _wait_until_calm(servers, scan_ids, tell)
            checks = _end(fleet)
            events, left = findings.read_events(servers), findings.left_over(servers)
            published = findings.read_published(servers, scan_ids)
            checks = [
                *check_scans(plan.scans, published, quiet),
                check_events(plan.scans, published, events),
                check_left_over(left, fleet.alive()),
                check_dead_letters(
                    f"{QUEUE}:dead", producer.bad_messages, findings.dead_letters(servers, QUEUE)
                ),
                check_dead_letters(
                    "the arrivals' dead list",
                    producer.bad_arrivals,
                    findings.dead_letters(servers, ARRIVALS),
                ),
                *checks,
                check_memory(fleet.samples, child=False),
                check_memory(fleet.samples, child=True),
            ]
            (folder / "memory.csv").write_text(as_csv(fleet.samples))
            told = {text: fleet.told(event) for text, event in TOLD.items()}
        counts = {**faults.counts, **_of_proxies(servers), **_of_plan(plan), **told}
    return Outcome(checks, counts, (time.monotonic() - began) / 60)


def _copy_of_code(folder: Path) -> str:
    """Copy the code that the workers run: they restart often, and the source may be edited meanwhile."""
    for name in ("pose", "worker", "tools/chaos"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


def _start(fleet: Fleet, tell: Tell) -> None:
    for name in WORKERS:
        # One worker has two processes: one may die while the other works.
        fleet.add(name, *WORKER, "-c", "2" if name == "b" else "1", "-n", f"{name}@chaos")
    fleet.add("beat", *BEAT)
    deadline = time.monotonic() + START_S
    while not all(fleet.ready(name) for name in WORKERS):
        if time.monotonic() > deadline or fleet.exits:
            raise ChaosFailed(f"the workers did not start: {fleet.exits or 'it took too long'}")
        time.sleep(LOOK_EVERY_S / 4)
    tell("the workers are ready")


def _quiet_run(servers: Servers, producer: Producer) -> dict[str, findings.Published]:
    """Return what is published of each kind of scan without faults, by the name of the kind."""
    ids = {kind.name: f"quiet-{number:02d}" for number, kind in enumerate(KINDS.values()) if kind.quiet}
    for name, scan_id in ids.items():
        producer.bring(scan_id, name)
        producer.announce(scan_id, Form.TASK)
        if KINDS[name].late:
            producer.bring_rest(scan_id, name)
    deadline = time.monotonic() + START_S
    while len(findings.final_scans(servers, list(ids.values()))) < len(ids):
        if time.monotonic() > deadline:
            raise ChaosFailed("the run without faults did not end")
        time.sleep(LOOK_EVERY_S)
    published = findings.read_published(servers, list(ids.values()))
    return {name: published[scan_id] for name, scan_id in ids.items()}


def _known_ends(quiet: dict[str, findings.Published]) -> None:
    """Check that the run without faults gave each kind its expected end."""
    scans = [PlannedScan(str((found.status or {}).get("scan_id")), name, ()) for name, found in quiet.items()]
    published = {scan.scan_id: quiet[scan.kind] for scan in scans}
    wrong = [fault for check in check_scans(scans, published, quiet) for fault in check.faults]
    if wrong:
        raise ChaosFailed(f"the run without faults went wrong: {'; '.join(wrong)}")


def _chaos(plan: Plan, producer: Producer, faults: Faults) -> None:
    stop = threading.Event()
    began = time.monotonic()
    feeder = threading.Thread(
        target=follow, args=(plan.arrivals, producer.do, began, stop), name="feeder", daemon=True
    )
    feeder.start()
    try:
        # In this thread: a server ends with the thread that started it.
        follow(plan.faults, faults.do, began, stop)
        faults.mend()
        feeder.join()
    finally:
        stop.set()


def _wait_until_calm(servers: Servers, scan_ids: list[str], tell: Tell) -> None:
    """Wait until all scans are done and all lists are empty, or until nothing changes any more."""
    calm, before, changed_at = 0, None, time.monotonic()
    while calm < CALM_LOOKS:
        time.sleep(LOOK_EVERY_S)
        done = len(findings.final_scans(servers, scan_ids))
        left = findings.left_over(servers)
        calm = calm + 1 if done == len(scan_ids) and not any(left.values()) else 0
        if (now := (done, tuple(left.values()))) != before:
            before, changed_at = now, time.monotonic()
        elif time.monotonic() - changed_at > STALL_S:
            tell(f"nothing changes any more: {done} of {len(scan_ids)} scans are done, left over {left}")
            return


def _end(fleet: Fleet) -> list[Check]:
    """Stop all members as an operator does."""
    exits = list(fleet.exits)
    patience_s = SHUTDOWN_GRACE_S + 10
    for name in ("beat", *WORKERS):
        code = fleet.finish(name, patience_s)
        if code != 0:
            exits.append(f"{name}, asked to end, gave {code} within {patience_s} s")
    return [check_exits(exits)]


def _of_proxies(servers: Servers) -> dict[str, int]:
    counts = servers.s3_proxy.counts
    return {
        "S3 requests": counts["requests"],
        "answered with 500 or 503": counts["500"] + counts["503"],
        "answered with 403": counts["403"],
        "dropped": counts["dropped"],
    }


def _of_plan(plan: Plan) -> dict[str, int]:
    return {
        "announcements": sum(step.name == "announce" for step in plan.arrivals),
        "bad entries": sum(step.name.startswith("bad_") for step in plan.arrivals),
    }


def table(outcome: Outcome) -> Table:
    """Return one line for each check, with faults marked."""
    shown = Table("", "what", "wanted", "found")
    for check in outcome.checks:
        mark, style = ("✗", "red") if check.faults else ("✓", "")
        shown.add_row(mark, check.what, check.wanted, check.found, style=style)
    return shown


def main(
    seed: Annotated[int, typer.Option(help="Equal seeds give equal plans.")] = 1,
    scans: Annotated[int, typer.Option(min=20)] = 300,
    seconds: Annotated[float, typer.Option(min=20, help="From the first fault to the last.")] = 450,
    short: Annotated[bool, typer.Option("--short", help="A small plan of about 90 seconds.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the logs go.")] = Path("build/chaos"),
) -> None:
    """Process scans under many faults, and check that each reaches its one right end."""
    began = time.monotonic()
    # A log file has no width.
    console = Console(width=None if sys.stdout.isatty() else 150)

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", markup=False, soft_wrap=True)

    plan = short_plan(seed) if short else make_plan(seed, scans, seconds)
    try:
        outcome = run(plan, folder / time.strftime("%Y-%m-%d_%H%M%S"), tell)
    except ChaosFailed as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(table(outcome))
    console.print(", ".join(f"{name} {count}" for name, count in outcome.counts.items()), markup=False)
    console.print(f"{len(plan.scans)} scans, seed {seed}, {outcome.minutes:.1f} minutes")
    for fault in outcome.faults:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1 if outcome.faults else 0)


def short_plan(seed: int) -> Plan:
    """Return a plan with at least one of each fault in less than a minute."""
    return make_plan(seed, scans=30, seconds=40, endless=0)


if __name__ == "__main__":
    typer.run(main)
