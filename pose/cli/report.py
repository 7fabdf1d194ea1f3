"""`pose report`: pages that show stored results in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pose.cli.output import OutputFile, error_text, make_console
from pose.cli.scans import check_out
from pose.report.texts import ENGLISH

if TYPE_CHECKING:
    from pose.report.stored import StoredScan
    from pose.report.texts import Texts


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
    from pose.report.stored import find_scans
    from pose.report.texts import load_texts

    messages = make_console(stderr=True)
    try:
        check_out(out)
        texts = load_texts(language, catalogues)
        scans = list(find_scans(results))
        out.mkdir(parents=True, exist_ok=True)
    except (PoseError, ValueError, OSError) as error:
        messages.print(f"pose report: {error_text(error)}")
        raise typer.Exit(2) from None
    try:
        failed = write_pages(scans, out, texts)
    except OSError as error:
        messages.print(f"pose report: {error_text(error)}")
        raise typer.Exit(1) from None
    if failed:
        raise typer.Exit(1)


def write_pages(scans: Iterable[StoredScan], out: Path, texts: Texts) -> int:
    """Write the pages of scans and their index, print what was done, and return how many scans failed.

    A page that shows the stored result already stays as it is. The page of a scan that has no result any more
    is deleted.

    Raises:
        OSError: the index cannot be written.
    """
    from pose.errors import PoseError
    from pose.report.report import INDEX, PAGE, Reports

    console = make_console()
    reports = Reports(texts)
    failed = 0
    for scan in scans:
        path = out / scan.scan_id / PAGE
        try:
            page = reports.page(scan, _start_of(path))
            if page is not None:
                _write(path, page)
        except (PoseError, ValueError, OSError) as error:
            failed += 1
            console.print(f"{scan.scan_id}  failed: {error_text(error)}")
        if not reports.has_page(scan.scan_id):
            with suppress(FileNotFoundError):
                path.unlink()
    _write(out / INDEX, reports.index())
    console.print(
        f"{reports.scans} scans, {reports.made} pages made, {reports.kept} kept: {os.path.join(out, INDEX)}"
    )
    return failed


def _start_of(path: Path) -> str:
    """Return the first part of a page, which tells what it was made from; nothing if there is no page."""
    with suppress(OSError), path.open(errors="replace") as file:
        return file.read(4096)
    return ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with OutputFile(path) as file:
        file.write(text)
    if file.problem:
        raise OSError(file.problem)
