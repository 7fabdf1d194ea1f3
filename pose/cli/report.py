"""`pose report`: pages that show stored results in a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pose.cli.output import OutputFile, error_text, make_console
from pose.cli.scans import check_out
from pose.report.texts import ENGLISH


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folders with the results of a scan, or folders of them."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the pages: OUT/<scan id>/report.html, OUT/index.html.")
    ],
    language: Annotated[str, typer.Option(help="Language of the pages, such as en, sw or pt-BR.")] = ENGLISH,
    catalogues: Annotated[
        Path | None,
        typer.Option(help="Folder of the languages: FOLDER/<language>/LC_MESSAGES/report.mo."),
    ] = None,
) -> None:
    """Make a page for each scan and an index of all. A page is one file and needs no network.

    Exit code 1: a scan's results could not be read, or a page not written. Exit code 2: the command could not
    start.
    """
    from pose.errors import PoseError
    from pose.report.report import INDEX, PAGE, Reports
    from pose.report.stored import find_scans
    from pose.report.texts import load_texts

    messages, console = make_console(stderr=True), make_console()
    try:
        check_out(out)
        texts = load_texts(language, catalogues)
        scans = list(find_scans(results))
        out.mkdir(parents=True, exist_ok=True)
    except (PoseError, ValueError, OSError) as error:
        messages.print(f"pose report: {error_text(error)}")
        raise typer.Exit(2) from None
    reports = Reports(texts)
    failed = 0
    for scan in scans:
        try:
            page = reports.page(scan)
            if page is not None:
                _write(out / scan.scan_id / PAGE, page)
        except (PoseError, ValueError, OSError) as error:
            failed += 1
            console.print(f"{scan.scan_id}  failed: {error_text(error)}")
    try:
        _write(out / INDEX, reports.index())
    except OSError as error:
        messages.print(f"pose report: {error_text(error)}")
        raise typer.Exit(1) from None
    console.print(f"{len(scans)} scans, {reports.pages} pages: {os.path.join(out, 'index.html')}")
    if failed:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with OutputFile(path) as file:
        file.write(text)
    if file.problem:
        raise OSError(file.problem)
