from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.support.stored import analysed
from worker.cli import main as cli
from worker.cli import report
from worker.config.settings import read_settings
from worker.config.urls import url_of_folder
from worker.keys import parse_scan_id
from worker.scans.transfer import publish
from worker.storage.opening import open_storages

SCAN = parse_scan_id("scan-1")


@pytest.fixture
def results(here, monkeypatch):
    settings = read_settings(
        scans_url=url_of_folder(here / "scans"), results_url=url_of_folder(here / "results")
    )
    monkeypatch.setattr(report, "load_settings", lambda: settings)
    _, results = open_storages(settings)
    publish(results, SCAN, analysed().result, analysed().artefacts)
    results.write("scan-2/status.json", json.dumps({"status": "failed"}).encode(), "application/json")
    return results


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.cli, ["report", *arguments])
    return done.exit_code, done.output


def test_report_makes_the_pages_of_what_is_stored(results, here):
    code, text = call("--out", "pages")
    assert (code, text.startswith("2 scans, 1 pages made, 0 kept")) == (0, True)
    assert (here / "pages" / "scan-1" / "report.html").read_text().count("<img") == 3
    assert "scan-2" in (here / "pages" / "index.html").read_text()


def test_report_of_named_scans_has_only_these(results, here):
    assert call("scan-1", "--out", "pages")[0] == 0
    assert "scan-2" not in (here / "pages" / "index.html").read_text()
    assert call("../x", "--out", "pages")[0] == 2


def test_report_tells_of_results_that_cannot_be_read(results):
    results.write("scan-1/result.json", b"{}", "application/json")
    code, text = call("--out", "pages")
    assert code == 1
    assert "scan-1  failed: result.json cannot be read" in text
