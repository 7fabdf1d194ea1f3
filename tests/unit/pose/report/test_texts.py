"""The words of the pages, in English and in a language that a programme adds."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from pose.analysis import quality
from pose.analysis.verdict import WORDS
from pose.lifting.posture import Posture
from pose.report import texts
from pose.report.page import render_page
from pose.report.report import Reports
from pose.report.stored import find_scans
from pose.report.texts import CatalogueError, load_texts
from pose.results import FrameStatus, Verdict
from tests.support.stored import analysed, stored
from tests.unit.pose.report.test_report import Elements
from tools.catalogue import TEMPLATE, messages


def pseudo(message: str) -> str:
    """Return a message as the pseudo-language has it: each letter outside braces becomes Ø."""
    return "".join(
        part if part.startswith("{") else re.sub("[A-Za-z]", "Ø", part)
        for part in re.split(r"(\{\w*\})", message)
    )


@pytest.fixture(scope="module")
def languages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages")
    for language in ("qps", "ar"):
        made = Catalog(locale=None)
        for message in messages():
            made.add(message, pseudo(message))
        place = folder / language / "LC_MESSAGES"
        place.mkdir(parents=True)
        with (place / "report.mo").open("wb") as file:
            write_mo(file, made)
    return folder


def test_the_template_for_translators_has_every_text():
    with TEMPLATE.open() as file:
        assert {message.id for message in read_po(file) if message.id} == set(messages()), "make catalogue"


def test_each_code_of_a_result_has_words():
    limits = {word for word in re.findall(r"^    (\w+) {2,}", quality.__doc__ or "", flags=re.M)}
    assert limits == set(texts.QUALITY)
    assert {each.value for each in FrameStatus} == set(texts.FRAME_STATUSES)
    assert {each.value for each in Verdict} <= set(texts.VERDICTS)
    assert {each.value for each in Posture} == set(texts.POSTURES)


def test_a_page_in_the_pseudo_language_has_no_english_left(languages, tmp_path):
    def fault(fields):
        fields["verdict_reasons"] = [{"code": "too_near", "text": "step back: 0.4 m", "frames": [0]}]
        fields["frames"][0]["quality"] = ["too_near"]

    (scan,) = find_scans([stored(tmp_path, fault)])
    reports = Reports(load_texts("qps", languages))
    page, index = reports.page(scan), reports.index()
    assert page is not None
    elements = Elements(page)
    assert "ØØØØ ØØØØ: 0.4 Ø" in elements.shown
    result = analysed().result
    detector = result.face_detector
    assert detector is not None
    names = (result.fingerprint, result.scan_id, result.schema_, result.model.name, detector.name)
    read_aloud = [each.get("aria-label") or each.get("alt") or "" for _, each in elements.found]
    for text in (elements.shown, " ".join(read_aloud), Elements(index).shown):
        for name in (*names, detector.version, "pose-worker", "three.js (MIT)", "cm"):
            text = text.replace(name, "")
        assert not re.findall("[A-Za-z]{2,}", text)
    assert 'lang="qps"' in page


def test_a_language_that_is_written_from_right_to_left_says_so(languages):
    page = render_page(analysed().result, {}, load_texts("ar", languages))
    assert '<html lang="ar" dir="rtl">' in page


def test_a_text_that_the_catalogue_lacks_or_spoils_is_english(tmp_path):
    made = Catalog(locale=None)
    made.add("step back: {} m", "back {} {} {}")
    made.add("{used} of {all} frames count", "{0.__class__} {used.x} {nothing}")
    (tmp_path / "sw" / "LC_MESSAGES").mkdir(parents=True)
    with (tmp_path / "sw" / "LC_MESSAGES" / "report.mo").open("wb") as file:
        write_mo(file, made)
    words = load_texts("sw", tmp_path)
    assert words.sentence("step back: 0.4 m") == "step back: 0.4 m"
    assert words.say("{used} of {all} frames count", used=1, all=2) == "{0.__class__} {used.x} {nothing}"
    assert words.of("All scans") == "All scans"


@pytest.mark.parametrize("code", WORDS)
def test_each_reason_has_a_text_for_translators(code):
    assert texts.message_of(WORDS[code](-31.0)) in messages()


@pytest.mark.parametrize("language", ["", "../en", "en/..", "x" * 50, "sw;rm", "fr"])
def test_a_language_without_a_catalogue_is_refused(language, tmp_path):
    with pytest.raises(CatalogueError):
        load_texts(language, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no catalogue", b"\xde\x12\x04\x95" + b"\xff" * 40])
def test_a_damaged_catalogue_is_refused(content, tmp_path):
    (tmp_path / "fr" / "LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "fr" / "LC_MESSAGES" / "report.mo").write_bytes(content)
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_texts("fr", tmp_path)


def test_english_needs_no_catalogue(tmp_path):
    assert load_texts("en", tmp_path).language == load_texts().language == "en"
