"""`pose report`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from typer.testing import CliRunner

from pose.cli import main as cli
from tests.support.stored import stored

runner = CliRunner()
DOCUMENT = Path(__file__).parents[4] / "docs" / "report.md"


def report(*arguments):
    return runner.invoke(cli.app, ["report", *map(str, arguments)])


def test_report_writes_a_page_for_each_scan_and_an_index(tmp_path):
    stored(tmp_path / "results")
    stored(tmp_path / "results", lambda fields: fields.update(scan_id="scan-2"))
    done = report(tmp_path / "results", "--out", tmp_path / "pages")
    assert done.exit_code == 0
    assert "2 scans, 2 pages made, 0 kept" in done.stdout
    written = sorted(str(path.relative_to(tmp_path / "pages")) for path in (tmp_path / "pages").rglob("*.*"))
    assert written == ["index.html", "scan-1/report.html", "scan-2/report.html"]


def test_one_result_that_cannot_be_read_stops_no_other(tmp_path):
    (stored(tmp_path / "results") / "result.json").write_text("{}")
    stored(tmp_path / "results", lambda fields: fields.update(scan_id="scan-2"))
    done = report(tmp_path / "results", "--out", tmp_path / "pages")
    assert done.exit_code == 1
    assert "scan-1  failed: result.json cannot be read" in done.stdout
    assert (tmp_path / "pages" / "scan-2" / "report.html").exists()
    assert not (tmp_path / "pages" / "scan-1" / "report.html").exists()


def test_report_cannot_start_without_results_a_folder_or_a_language(tmp_path):
    folder = stored(tmp_path / "results")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for arguments in (
        (tmp_path / "empty", "--out", tmp_path / "pages"),
        (tmp_path / "missing", "--out", tmp_path / "pages"),
        (folder, "--out", tmp_path / "file"),
        (folder, "--out", tmp_path / "pages", "--language", "xx"),
        (folder, "--out", tmp_path / "pages", "--language", "../en"),
    ):
        done = report(*arguments)
        assert done.exit_code == 2, arguments
        assert done.stderr.startswith("pose report: ")
    assert not (tmp_path / "pages").exists()


def test_a_page_that_shows_the_result_already_is_kept(tmp_path):
    stored(tmp_path / "results")
    report(tmp_path / "results", "--out", tmp_path / "pages")
    page = tmp_path / "pages" / "scan-1" / "report.html"
    before = page.stat().st_mtime_ns
    done = report(tmp_path / "results", "--out", tmp_path / "pages")
    assert "0 pages made, 1 kept" in done.stdout
    assert page.stat().st_mtime_ns == before
    assert '"scan-1/report.html"' in (tmp_path / "pages" / "index.html").read_text()
    stored(tmp_path / "results", lambda fields: fields["frames"][0].update(picture=None))
    assert "1 pages made, 0 kept" in report(tmp_path / "results", "--out", tmp_path / "pages").stdout
    assert "withheld" in page.read_text()


def test_the_page_of_a_scan_without_a_result_is_deleted(tmp_path):
    folder = stored(tmp_path / "results")
    report(folder, "--out", tmp_path / "pages")
    (folder / "result.json").rename(folder / "result.older.json")
    assert "1 scans, 0 pages made, 0 kept" in report(folder, "--out", tmp_path / "pages").stdout
    assert not (tmp_path / "pages" / "scan-1" / "report.html").exists()


def test_the_commands_of_the_document_do_what_it_says(here):
    stored(here / "results", lambda fields: fields.update(scan_id="one"))
    stored(here / "results", lambda fields: fields.update(scan_id="two"))
    made = Catalog(locale=None)
    made.add("Good", "Nzuri")
    (here / "languages" / "sw" / "LC_MESSAGES").mkdir(parents=True)
    with (here / "languages" / "sw" / "LC_MESSAGES" / "report.mo").open("wb") as file:
        write_mo(file, made)
    commands = re.findall(r"^(pose report .*?) *(?:#.*)?$", DOCUMENT.read_text(), flags=re.M)
    assert len(commands) == 3
    for command in commands:
        done = runner.invoke(cli.app, shlex.split(command)[1:])
        assert done.exit_code == 0, command
        assert "2 scans" in done.stdout
    assert "Nzuri" in (here / "pages" / "index.html").read_text()
    assert '<html lang="sw"' in (here / "pages" / "one" / "report.html").read_text()
