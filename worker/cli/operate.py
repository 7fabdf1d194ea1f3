"""Commands for who operates workers: `doctor`."""

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
