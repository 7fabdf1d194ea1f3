"""Pages of stored results, and their index."""

from __future__ import annotations

import base64
import html
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from pose.analysis.export import BLURRED, OVERLAY, artefact_name
from pose.report.pictures import MAX_PAGE_BYTES, frame_pictures, shrink
from pose.report.report import Reports
from pose.report.stored import UnusableResults, find_scans
from pose.report.texts import load_texts
from pose.scan.pictures import encode_jpeg
from tests.support.stored import FRAMES, replace_artefact, stored

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&<!--"


class Elements(HTMLParser):
    """The elements of a page with their attributes, the texts of its scripts, and the text that is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.shown = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.shown += f"{data} "

    def handle_endtag(self, _):
        self._inside = ""

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(folder) -> str:
    (scan,) = find_scans([folder])
    page = Reports(load_texts()).page(scan)
    assert page is not None
    return page


def index_of(folder) -> str:
    reports = Reports(load_texts())
    for scan in find_scans([folder]):
        reports.page(scan)
    return reports.index()


def rows_of(index: str) -> list[dict]:
    return json.loads(Elements(index).scripts[0])["rows"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(folder):
    return page_of(folder)


def test_a_page_shows_verdict_figures_and_provenance(page, folder):
    shown = Elements(page).shown
    result = json.loads((folder / "result.json").read_text())
    estimate = result["body_length_estimate_m"]
    assert "scan-1" in shown
    assert {"good": "Good", "usable": "Usable", "repeat": "Scan again"}[result["verdict"]] in shown
    assert f"{100 * estimate['value']:.1f} cm" in shown
    assert f"{100 * estimate['low']:.1f} to {100 * estimate['high']:.1f} cm" in shown
    assert "Standing" in shown
    assert result["fingerprint"] in shown
    assert "knowing 1" in shown


def test_a_page_shows_the_stature_with_its_interval_and_marks_it_in_3d(tmp_path):
    estimate = {"value": 0.912, "low": 0.9, "high": 0.95}

    def tall(fields):
        fields |= {"stature_m": 0.912, "stature_estimate_m": estimate}
        fields["frames"][1]["people"][0] |= {"stature_m": 0.92, "stature_estimate_m": None}

    folder = stored(tmp_path, tall)
    elements = Elements(page_of(folder))
    assert "Stature, sole to crown" in elements.shown
    assert "91.2 cm" in elements.shown and "90.0 to 95.0 cm" in elements.shown
    assert "92.0" in elements.shown
    assert json.loads(elements.scripts[0])["stature"] == estimate
    assert rows_of(index_of(folder))[0]["stature"] == [91.2, 90.0, 95.0]


def test_a_page_shows_the_quality_in_words(tmp_path):
    def break_limits(fields):
        fields["frames"][0]["quality"] = ["too_near", "missing_depth"]

    shown = Elements(page_of(stored(tmp_path, break_limits))).shown
    assert "too near" in shown
    assert "much of the depth map is empty" in shown


def test_a_page_is_whole_in_itself_and_may_load_nothing(page):
    elements = Elements(page)
    (policy,) = (each["content"] for each in elements.of("meta") if each.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "http" not in policy
    for tag, attributes in elements.found:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/jpeg;base64,", "#")) or value in ("", "../index.html"), tag
    assert "@import" not in page and "url(" not in page.split("</style>")[0]


def test_a_page_shows_each_picture_with_a_skeleton_and_is_small(page):
    pictures = Elements(page).of("img")
    assert len(pictures) == FRAMES
    assert all(each["alt"] for each in pictures)
    assert len(page.encode()) < MAX_PAGE_BYTES


def test_the_pixels_of_nine_large_frames_fit_into_a_page():
    noise = np.random.default_rng(1).integers(0, 256, (1440, 1080, 3), np.uint8)
    small = shrink(encode_jpeg(noise), 160_000)
    assert small is not None
    assert len(small) <= 160_000
    assert shrink(encode_jpeg(noise), 100) is None


def test_a_picture_of_another_analysis_is_not_shown(tmp_path):
    folder = stored(tmp_path)
    original = encode_jpeg(np.full((240, 320, 3), 77, np.uint8))
    (folder / artefact_name(1, OVERLAY)).write_bytes(original)
    pictures = Elements(page_of(folder)).of("img")
    assert len(pictures) == FRAMES - 1


def test_a_withheld_picture_is_not_shown_even_if_its_file_is_there(tmp_path):
    def withhold(fields):
        fields["frames"][0]["picture"] = None

    page = page_of(stored(tmp_path, withhold))
    assert len(Elements(page).of("img")) == FRAMES - 1
    assert "withheld" in Elements(page).shown


def test_only_pixels_of_a_picture_get_into_the_page(tmp_path):
    folder = stored(tmp_path)
    name = artefact_name(0, OVERLAY)
    replace_artefact(folder, name, (folder / name).read_bytes() + b"a-secret-behind-the-picture")
    (scan,) = find_scans([folder])
    result = scan.result()
    assert result is not None
    data = base64.b64decode(frame_pictures(result, scan.read)[0].partition(",")[2])
    assert b"a-secret" not in data
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut", b"<svg onload=alert(1)>"])
def test_a_file_that_is_no_picture_is_left_out(tmp_path, data):
    folder = stored(tmp_path)
    replace_artefact(folder, artefact_name(0, OVERLAY), data)
    assert len(Elements(page_of(folder)).of("img")) == FRAMES - 1


def test_no_picture_without_a_skeleton_is_read(folder):
    asked = []
    (scan,) = find_scans([folder])
    result = scan.result()
    assert result is not None
    frame_pictures(result, lambda name, most: asked.append(name))
    assert asked == [artefact_name(order, OVERLAY) for order in range(FRAMES)]
    assert BLURRED not in asked


def test_what_stands_in_a_result_never_becomes_markup_or_a_script(tmp_path):
    def attack(fields):
        fields["model"] |= {"name": EVIL, "version": EVIL, "runtime": EVIL}
        fields["face_detector"] |= {"name": EVIL, "runtime": EVIL}
        fields["fingerprint"] = EVIL
        fields["ignored"] = [EVIL]
        fields["verdict_reasons"] = [{"code": EVIL, "text": EVIL, "frames": [0]}]
        fields["timings_ms"] = {EVIL: 1.0}
        fields["frames"][0] |= {"reason": EVIL, "quality": [EVIL]}

    page = page_of(stored(tmp_path, attack))
    plain = page_of(stored(tmp_path / "plain"))
    elements = Elements(page)
    assert len(elements.scripts) == len(Elements(plain).scripts) == 3
    assert elements.scripts[1:] == Elements(plain).scripts[1:]
    assert not [attributes for _, attributes in elements.found if "onerror" in attributes]
    assert page.count(html.escape(EVIL).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) >= 8


def test_the_index_escapes_what_stands_in_a_status(tmp_path):
    folder = tmp_path / "scan-2"
    folder.mkdir()
    (folder / "status.json").write_text(json.dumps({"status": "failed", "reason": EVIL}))
    index = index_of(tmp_path)
    assert len(Elements(index).scripts) == 2
    assert rows_of(index)[0]["reason"] == EVIL


def test_data_for_scripts_are_json_that_ends_no_element(page):
    data = Elements(page).scripts[0]
    assert not re.search("[<>&']", data)
    scene = json.loads(data)
    assert set(scene["frames"]) == {"0", "1", "2"}
    assert len(scene["frames"]["0"]["joints"]) == 17


def test_plots_have_a_table_with_the_same_numbers(page, folder):
    elements = Elements(page)
    plots = [each for each in elements.of("svg") if each["role"] == "img" and each["aria-label"]]
    assert len(plots) >= 5
    result = json.loads((folder / "result.json").read_text())
    for frame in result["frames"]:
        person = frame["people"][0]
        low, high = (person["body_length_estimate_m"][end] for end in ("low", "high"))
        value = person["body_length_m"]
        assert f"{100 * value:.1f} ({100 * low:.1f} – {100 * high:.1f})" in elements.shown


def test_a_page_without_any_person_or_3d_is_whole(tmp_path):
    def nobody(fields):
        fields |= {"posture": "unknown", "body_length_m": None, "body_length_estimate_m": None}
        fields |= {"verdict": "repeat", "frames_used": 0, "timings_ms": {}}
        for frame in fields["frames"]:
            frame |= {"people": [], "status": "no_person", "weight": 0.0, "head_height_m": None}

    elements = Elements(page_of(stored(tmp_path, nobody)))
    assert "Scan again" in elements.shown
    assert not elements.of("canvas")
    assert elements.scripts == []


def test_a_page_of_a_result_without_frames_is_whole(tmp_path):
    page = page_of(stored(tmp_path, lambda fields: fields.update(frames=[], frames_used=0)))
    assert "0 of 0 frames count" in Elements(page).shown


def test_a_result_of_the_first_version_has_a_page(tmp_path):
    def older(fields):
        fields |= {"schema": "scan-result/1", "verdict": None, "verdict_reasons": []}
        fields["body_length_estimate_m"] = None
        fields["face_detector"] = None

    shown = Elements(page_of(stored(tmp_path, older))).shown
    assert "No verdict" in shown
    assert "without an interval" in shown


def test_figures_too_large_for_a_number_spoil_neither_page_nor_index(tmp_path):
    def absurd(fields):
        fields |= {"body_length_m": 1e308, "body_length_estimate_m": None}
        fields["frames"][0] |= {"head_height_m": -1e308, "child_distance_m": 1e308}

    folder = stored(tmp_path, absurd)
    json.loads(Elements(page_of(folder)).scripts[0], parse_constant=pytest.fail)
    assert rows_of(index_of(folder))[0]["body_length"] is None


def test_an_index_lists_scans_with_and_without_a_result(tmp_path):
    stored(tmp_path)
    for name, status in (("scan-2", "failed"), ("scan-3", "queued")):
        (tmp_path / name).mkdir()
        fields = {"status": status, "reason": "no depth", "finished_at": "2026-01-02T03:04:05Z"}
        (tmp_path / name / "status.json").write_text(json.dumps(fields))
    (tmp_path / "no scan").mkdir()
    rows = rows_of(index_of(tmp_path))
    assert [row["scan_id"] for row in rows] == ["scan-1", "scan-2", "scan-3"]
    assert [row["status"] for row in rows] == ["completed", "failed", "queued"]
    assert [row["page"] for row in rows] == ["scan-1/report.html", "", ""]
    assert rows[1]["finished_at"] == "2026-01-02T03:04:05Z"
    assert rows[0]["frames"] == "3 / 3"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"schema": "scan-result/9"}', "[" * 100_000, '{"scan_id": NaN}']
)
def test_a_result_that_cannot_be_read_is_told_and_listed(tmp_path, content):
    folder = stored(tmp_path)
    (folder / "result.json").write_text(content)
    (scan,) = find_scans([folder])
    reports = Reports(load_texts())
    with pytest.raises(UnusableResults, match=r"result\.json cannot be read"):
        reports.page(scan)
    (row,) = rows_of(reports.index())
    assert (row["status"], row["page"]) == ("failed", "")


def test_the_result_of_another_scan_is_refused(tmp_path):
    folder = stored(tmp_path).rename(tmp_path / "scan-9")
    (scan,) = find_scans([folder])
    with pytest.raises(UnusableResults, match="another scan"):
        scan.result()


@pytest.mark.parametrize("content", ["", "[]", '{"status": []}', '{"status": "<b>"}', "[" * 100_000])
def test_a_status_that_cannot_be_read_counts_as_none(tmp_path, content):
    folder = stored(tmp_path)
    (folder / "status.json").write_text(content)
    (scan,) = find_scans([folder])
    assert scan.status().status == "completed"


def test_folders_without_results_and_scans_given_twice_are_refused(tmp_path):
    folder = stored(tmp_path / "results")
    with pytest.raises(UnusableResults, match="given twice"):
        list(find_scans([folder, tmp_path / "results"]))
    with pytest.raises(UnusableResults, match="folder 2 of 2 holds no results"):
        (tmp_path / "empty").mkdir()
        list(find_scans([folder, tmp_path / "empty"]))
