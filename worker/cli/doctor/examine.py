"""Run all checks, and print what they found."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from celery import Celery
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.doctor import machine, servers
from worker.cli.doctor.finding import Finding, Level, ok, wrong
from worker.config.settings import Settings, SettingsError

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}
Check = Callable[[], list[Finding]]


def examine(settings: Settings, app: Celery, *, model: bool = False) -> list[Finding]:
    """Run all checks at the same time, and return what they found in a fixed order.

    Args:
        settings: Of this process.
        app: Whose broker and result store are tried.
        model: Also load the model and analyse the built-in scan. This imports torch.
    """
    app.finalize()  # before there are threads
    checks: list[tuple[str, Check]] = [
        ("settings", partial(machine.check_settings, settings)),
        ("versions", machine.check_versions),
        ("run folder", partial(machine.check_run_folder, settings)),
        ("broker", partial(servers.check_broker, settings, app)),
        ("result store", partial(servers.check_result_store, settings, app)),
        ("ledger", partial(servers.check_ledger, settings)),
        ("inbox", partial(servers.check_inbox, settings)),
        ("storage", partial(servers.check_storages, settings)),
        ("clock", partial(servers.check_redis_clock, settings)),
        ("beat", partial(servers.check_beat, settings)),
        ("weights", partial(machine.check_weights, settings)),
        ("device", partial(machine.check_device, settings)),
    ]
    if model:
        checks.append(("model", partial(check_model, settings)))
    # A server that does not answer takes seconds; so they are asked at the same time.
    with ThreadPoolExecutor(len(checks)) as pool:
        found = pool.map(lambda each: _run(*each), checks)
        return [finding for findings in found for finding in findings]


def _run(name: str, check: Check) -> list[Finding]:
    try:
        return check()
    except SettingsError as error:  # of a folder that cannot be made
        return [wrong(name, error.message, "correct the setting: docs/settings.md")]
    except Exception as error:  # one broken check must not hide the others
        cure = "report this: the check itself has a fault"
        return [wrong(name, f"the check ended with {type(error).__name__}", cure)]


def check_model(settings: Settings) -> list[Finding]:
    """Load the models as a worker does, and analyse the built-in scan."""
    from worker.models.loading import get_estimator, get_face_detector, limit_threads
    from worker.models.weights import fetch_weights
    from worker.scans.self_check import ProcessUnfit, check_process

    start = time.perf_counter()
    try:
        threads = limit_threads(settings, settings.concurrency)
        fetch_weights(settings)
        estimator, faces = get_estimator(settings), get_face_detector(settings)
        loaded = time.perf_counter()
        check_process(settings)
    except (ProcessUnfit, ImportError) as error:
        return [wrong("model", str(error), "see the log above; try DEVICE=cpu")]
    except Exception as error:
        from pose.errors import PoseError

        # Their texts are written for a person. Others may hold anything.
        readable = isinstance(error, (PoseError, ValueError))
        reason = str(error) if readable else f"it cannot be loaded: {type(error).__name__}"
        return [wrong("model", reason, "correct MODEL, DETECTOR, FACE_DETECTOR, DEVICE or WEIGHTS_URL")]
    text = (
        f"{estimator.name} {estimator.version}, faces {faces.name} {faces.version}, {threads} threads: loaded"
        f" in {loaded - start:.1f} s, the built-in scan analysed in {time.perf_counter() - loaded:.1f} s"
    )
    return [ok("model", text)]


def is_right(findings: list[Finding]) -> bool:
    """Return whether nothing is wrong. Warnings do not count."""
    return all(each.level is not Level.WRONG for each in findings)


def as_json(findings: list[Finding], settings: Settings | None) -> dict[str, Any]:
    """Return the report as JSON: `ok`, `findings`, and all settings as they are read."""
    return {
        "ok": is_right(findings),
        "settings": {} if settings is None else machine.settings_as_read(settings),
        "findings": [
            {"check": each.check, "level": each.level.value, "text": each.text, "cure": each.cure}
            for each in findings
        ],
    }


def print_report(findings: list[Finding], console: Console) -> None:
    """Print a line for each finding, and below it what to do."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for each in findings:
        # Not as markup: a text may hold brackets.
        name = Text("" if each.check == last else each.check)
        table.add_row(Text(each.level.value, style=_STYLES[each.level]), name, Text(each.text))
        if each.cure:
            table.add_row("", "", Text(f"→ {each.cure}", style="cyan"))
        last = each.check
    console.print(table)
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    console.print(f"{counts[Level.WRONG]} wrong, {counts[Level.WARNING]} warnings", highlight=False)
