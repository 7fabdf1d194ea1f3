"""The page beside a result, with `REPORT=1`."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from pose.analysis.export import OVERLAY, artefact_name
from tests.support.stored import FRAMES, analysed
from worker.config.settings import SettingsError, read_settings
from worker.keys import artefact_key, page_key, parse_scan_id, result_key
from worker.scans.page import page_maker, stored_artefacts
from worker.scans.transfer import add_page, publish, remove_results
from worker.storage.memory import MemoryStorage

SCAN = parse_scan_id("scan-1")
MOST = 10**7


class Noting(MemoryStorage):
    """A storage that notes the keys in the order in which they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, key: str, data: bytes, content_type: str) -> None:
        self.written.append(key)
        super().write(key, data, content_type)


@pytest.fixture
def results():
    return Noting()


@pytest.fixture
def make():
    made = page_maker(read_settings(report=True))
    assert made is not None
    return made


def test_without_the_setting_there_is_no_page():
    assert page_maker(read_settings()) is None


def test_the_page_is_made_from_the_stored_artefacts_alone(results, make):
    analysis = analysed()
    publish(results, SCAN, analysis.result, analysis.artefacts)
    fresh = make(analysis.result, lambda name, _: analysis.artefacts.get(name))
    assert make(analysis.result, stored_artefacts(results, SCAN)) == fresh
    results.delete(artefact_key(SCAN, artefact_name(0, OVERLAY)))
    assert make(analysis.result, stored_artefacts(results, SCAN)).count(b"<img") == FRAMES - 1


def test_a_page_is_stored_before_the_result_and_removed_by_an_analysis_without_one(results):
    analysis = analysed()
    publish(results, SCAN, analysis.result, analysis.artefacts, b"page")
    assert results.written[-1] == result_key(SCAN)
    assert page_key(SCAN) in results.written
    assert publish(results, SCAN, analysis.result, analysis.artefacts) == 2  # the page and the result
    assert page_key(SCAN) not in {each.key for each in results.objects(SCAN, 1000)}


def test_a_missing_page_is_added_and_one_that_is_there_stays(results):
    add_page(results, SCAN, lambda: b"page")
    add_page(results, SCAN, lambda: b"another")
    assert results.read(page_key(SCAN), MOST) == b"page"


def test_a_page_goes_with_the_results(results):
    analysis = analysed()
    publish(results, SCAN, analysis.result, analysis.artefacts, b"page")
    results.write(f"{SCAN}/status.json", b"{}", "application/json")
    remove_results(results, SCAN)
    assert [each.key for each in results.objects(SCAN, 1000)] == [f"{SCAN}/status.json"]


def test_a_language_without_a_catalogue_is_a_wrong_setting(tmp_path):
    with pytest.raises(SettingsError, match="REPORT_LANGUAGE"):
        read_settings(report=True, report_language="sw")
    with pytest.raises(SettingsError, match="REPORT_LANGUAGE"):
        read_settings(report=True, report_language="sw", report_catalogues=tmp_path)


def test_an_error_in_a_page_is_told_and_keeps_no_result_back(results, make, monkeypatch):
    def fault(*_: object) -> str:
        raise KeyError("a text")

    monkeypatch.setattr("pose.report.page.render_page", fault)
    analysis = analysed()
    with capture_logs() as told:
        assert make(analysis.result, stored_artefacts(results, SCAN)) is None
    assert [entry["event"] for entry in told] == ["page_failed"]
    add_page(results, SCAN, lambda: None)
    assert page_key(SCAN) not in results.written
