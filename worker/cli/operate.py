"""Commands for who operates workers: `doctor`, `metrics`."""

from __future__ import annotations

import json
from typing import Annotated, Final

import typer
from rich.console import Console

from worker.config.settings import SettingsError, load_settings

EXIT_WRONG: Final = 1


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    model: Annotated[
        bool, typer.Option("--model", help="Also load the model and analyse a built-in scan. Takes seconds.")
    ] = False,
) -> None:
    """Check all that a worker needs: settings, servers, storages, weights, device, clocks, beat.

    Run it where a worker is to run, with the worker's environment. What it writes, it removes.

    The exit code is 1 if something is wrong.
    """
    from worker.cli.doctor import examine
    from worker.cli.doctor.finding import wrong

    settings = None
    try:
        settings = load_settings()
        from worker.app import app

        findings = examine.examine(settings, app, model=model)
    except SettingsError as error:
        findings = [wrong("settings", error.message, "correct them: docs/settings.md")]
    if as_json:
        typer.echo(json.dumps(examine.as_json(findings, settings), indent=2))
    else:
        examine.print_report(findings, Console())
    if not examine.is_right(findings):
        raise typer.Exit(EXIT_WRONG)


def metrics() -> None:
    """Print what waits and runs now, in Prometheus' text format. The workers are asked for a second.

    The exit code is 2 if the broker or the ledger cannot be used.
    """
    from prometheus_client import generate_latest

    from worker.app import app
    from worker.metrics.exposition import registry_of
    from worker.metrics.look import look

    settings = load_settings()
    found = look(app, settings)
    typer.echo(generate_latest(registry_of(lambda: found, settings)).decode(), nl=False)
