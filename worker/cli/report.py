"""`python -m worker report`: the pages of the scans in `RESULTS_URL`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.config.settings import load_settings
from worker.keys import ScanId, parse_scan_id, scan_ids_in
from worker.storage.base import ObjectMissing, ScanTooLarge, Storage
from worker.storage.opening import open_storages

if TYPE_CHECKING:
    from pose.report.stored import Read

EXIT_FAILED = 1


def report(
    scan_ids: Annotated[list[str] | None, typer.Argument(metavar="[SCAN_ID...]")] = None,
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for the pages: OUT/<scan id>/report.html, OUT/index.html.")
    ],
) -> None:
    """Make a page for each scan of RESULTS_URL, or for those named, and an index of them.

    The exit code is 1 if the results of a scan could not be read, or a page not written.
    """
    from pose.cli.report import write_pages
    from pose.report.stored import StoredScan
    from pose.report.texts import load_texts

    settings = load_settings()
    _, results = open_storages(settings)
    wanted = [parse_scan_id(each) for each in scan_ids] if scan_ids else scan_ids_in(results.folders())
    scans = (StoredScan(scan_id, reader_of(results, scan_id)) for scan_id in wanted)
    try:
        out.mkdir(parents=True, exist_ok=True)
        failed = write_pages(scans, out, load_texts(settings.report_language, settings.report_catalogues))
    except OSError as error:
        typer.echo(f"a page cannot be written: {error.strerror}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    if failed:
        raise typer.Exit(EXIT_FAILED)


def reader_of(results: Storage, scan_id: ScanId) -> Read:
    """Return what reads the stored files of a scan.

    It raises StorageUnavailable if the storage of results cannot be used.
    """
    from pose.report.stored import UnusableResults

    def read(name: str, max_bytes: int) -> bytes | None:
        try:
            return results.read(f"{scan_id}/{name}", max_bytes)
        except ObjectMissing:
            return None
        except ScanTooLarge:
            raise UnusableResults(f"{name.rpartition('/')[2]} has more than {max_bytes} bytes") from None

    return read
