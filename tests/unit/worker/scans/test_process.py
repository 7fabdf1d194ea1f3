from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

import pose
from pose.analysis.export import ARTEFACTS
from pose.analysis.scan import analyse_scan
from pose.errors import InvalidManifest
from tests.support.estimators import FindsNobody
from tests.support.rendered import KnowingEstimator, person
from tests.support.scrambled import KEY, scrambled_record
from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.scans.process import Outcome, process
from worker.scans.status import Stage
from worker.scans.transfer import CONTENT_TYPES, Limits, read_result
from worker.storage.base import ScanMissing, ScanTooLarge, Storage, StorageUnavailable
from worker.storage.opening import open_storage
from worker.time_limit import TimeLimitReached

SCAN = ScanId("scan")

LIMITS = Limits(object_bytes=10**6, scan_bytes=10**7, files=100)
PERSON = "Zoe-1234"


@pytest.fixture
def scans(tmp_path, make_scan) -> Storage:
    storage = open_storage(url_of_folder(tmp_path / "scans"), "the storage of scans")
    for name, data in make_scan(frames=2, person=PERSON).items():
        storage.write(f"scan/{name}", data, "application/octet-stream")
    return storage


@pytest.fixture
def results(tmp_path) -> Storage:
    return open_storage(url_of_folder(tmp_path / "results"), "the storage of results")


@pytest.fixture
def run(scans, results) -> Callable[..., Outcome]:
    def run(
        estimator: pose.Estimator | None = None,
        report: Callable[..., None] = lambda *_: None,
        scan_id: str = "scan",
    ) -> Outcome:
        return process(ScanId(scan_id), scans, results, estimator or FindsNobody(), LIMITS, report)

    return run


def without_times(result: pose.ScanResult) -> dict[str, object]:
    fields = result.model_dump(exclude={"timings_ms"})
    for frame in fields["frames"]:
        del frame["timings_ms"]
    return fields


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_are_what_the_library_gives(run, results, make_scan, tmp_path):
    outcome = run()
    scan = pose.read_scan_files(make_scan(frames=2, person=PERSON))
    expected = analyse_scan(scan, FindsNobody(), scan_id="scan")
    assert without_times(outcome.result) == without_times(expected.result)
    assert not outcome.repeated
    stored = files_in(tmp_path / "results" / "scan")
    assert set(stored) == {"result.json", *expected.artefacts}
    assert pose.ScanResult.model_validate_json(stored["result.json"]) == outcome.result


def test_a_page_is_stored_with_the_result_and_added_to_an_earlier_one(scans, results, tmp_path):
    made = []

    def make_page(result, read):
        made.append(read("frames/0/pose.json", 10**6))
        return b"page"

    process(SCAN, scans, results, FindsNobody(), LIMITS, lambda *_: None, make_page=make_page)
    page = tmp_path / "results" / "scan" / "report.html"
    assert page.read_bytes() == b"page"
    page.unlink()
    again = process(SCAN, scans, results, FindsNobody(), LIMITS, lambda *_: None, make_page=make_page)
    assert again.repeated
    assert page.read_bytes() == b"page"
    assert made[0] == made[1] == (page.parent / "frames" / "0" / "pose.json").read_bytes()


def test_a_folder_and_the_worker_give_a_scan_the_same_fingerprint(run, tmp_path):
    scan = pose.read_scan(tmp_path / "scans" / "scan")
    assert run().result.fingerprint == analyse_scan(scan, FindsNobody()).result.fingerprint


def test_a_scrambled_scan_is_read_with_the_key(scans, results, make_scan):
    for name, data in scrambled_record(make_scan(frames=2)).items():
        scans.write(f"scan/{name}", data, "application/octet-stream")

    def run(key: bytes | None) -> Outcome:
        return process(SCAN, scans, results, FindsNobody(), LIMITS, lambda *_: None, xor_key=key)

    with capture_logs() as logs:
        assert [frame.status for frame in run(KEY).result.frames] == ["no_person", "no_person"]
        with pytest.raises(pose.InvalidScan, match=r"version v3\.1 are scrambled; no key is given"):
            run(None)
        with pytest.raises(pose.InvalidScan, match=r"version v3\.1 are scrambled; this key does not"):
            run(b"another")
    assert KEY.hex() not in str(logs) and repr(KEY) not in str(logs)


def test_stages_are_reported_in_their_order_and_each_frame(run):
    reports: list[tuple[Stage, int, int | None]] = []
    run(report=lambda *report: reports.append(report))
    assert reports == [
        (Stage.FETCH, 0, None),
        (Stage.ANALYSE, 0, 2),
        (Stage.ANALYSE, 1, 2),
        (Stage.ANALYSE, 2, 2),
        (Stage.PUBLISH, 2, 2),
    ]


def test_the_result_is_written_last(run, results, monkeypatch):
    keys = []
    write = results.write

    def note(key: str, data: bytes, content_type: str) -> None:
        keys.append((key, content_type))
        write(key, data, content_type)

    monkeypatch.setattr(results, "write", note)
    run()
    assert keys[-1] == ("scan/result.json", "application/json")
    assert keys.index(keys[-1]) == len(keys) - 1 > 0


def test_the_persons_code_stands_nowhere_in_what_is_stored(run, tmp_path):
    run()
    stored = files_in(tmp_path / "results")
    assert PERSON not in "".join(stored)
    assert not any(PERSON.encode() in data for data in stored.values())


def test_a_scan_that_is_done_is_not_analysed_again(run):
    estimator = FindsNobody()
    first = run(estimator)
    again = run(estimator)
    assert again.repeated
    assert again.result == first.result
    assert estimator.calls == 1


def test_a_scan_with_other_files_or_another_model_is_analysed_again(run, scans, make_depth):
    estimator = FindsNobody()
    fingerprints = {run(estimator).result.fingerprint}
    scans.write(f"scan/depth/depth_{PERSON}_1622182020448_100_1.depth", make_depth(2.5), "application/zip")
    fingerprints.add(run(estimator).result.fingerprint)
    estimator.version = "2"
    fingerprints.add(run(estimator).result.fingerprint)
    assert estimator.calls == len(fingerprints) == 3


def test_other_limits_analyse_the_scan_again(run, scans, results):
    first = run()
    strict = process(
        SCAN, scans, results, FindsNobody(), LIMITS, lambda *_: None, quality_limits="production"
    )
    assert not strict.repeated
    assert strict.result.fingerprint != first.result.fingerprint
    assert (first.result.verdict, strict.result.verdict) == ("repeat", "repeat")


def test_every_kind_of_artefact_has_a_content_type():
    assert {name.rpartition(".")[2] for name in (*ARTEFACTS, "report.html")} == set(CONTENT_TYPES)


def test_a_second_model_is_compared_and_is_part_of_the_fingerprint(run, scans, results, monkeypatch):
    assert run().result.drift is None
    first, second = FindsNobody(), FindsNobody()

    def both() -> Outcome:
        return process(SCAN, scans, results, first, LIMITS, lambda *_: None, compare_with=second)

    outcome = both()
    assert not outcome.repeated
    assert outcome.result.drift is not None
    assert second.calls == 1
    assert both().repeated


@pytest.mark.parametrize(("apart", "events"), [(1.0, 0), (30.0, 1)])
def test_models_that_disagree_are_logged(scans, results, apart, events):
    def found(at: float) -> KnowingEstimator:
        points = np.column_stack([np.full(17, 10.0 + at), np.linspace(5, 45, 17)])
        return KnowingEstimator({0: [person(points)], 1: [person(points)]})

    with capture_logs() as logs:
        process(SCAN, scans, results, found(0), LIMITS, lambda *_: None, compare_with=found(apart))
    told = [each for each in logs if each["event"] == "models_disagree"]
    assert [each["offset_px"] for each in told] == [(apart, 0.0)] * events


def test_files_that_are_not_used_are_logged_and_stand_in_the_result(run, scans):
    with capture_logs() as logs:
        assert run().result.ignored == ()
    assert not [each for each in logs if each["event"] == "files_ignored"]
    scans.write(f"scan/rgb/rgb_{PERSON}_1622182020448_100_9.webp", b"x", "image/webp")
    with capture_logs() as logs:
        told = run().result.ignored
    assert told == ("scan: files: 1 file not recognised, such as rgb/rgb_….webp",)
    (line,) = [each for each in logs if each["event"] == "files_ignored"]
    assert (line["log_level"], line["reasons"]) == ("warning", told)


def test_a_scan_of_two_persons_is_refused(run, scans):
    scans.write("scan/depth/depth_another_1622182020448_100_1.depth", b"x", "application/zip")
    with pytest.raises(InvalidManifest, match="one folder is one scan") as caught:
        run()
    assert PERSON not in str(caught.value) and "another" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"fingerprint": 1}', b"x" * (17 * 1024 * 1024)])
def test_an_unreadable_result_is_made_again(run, results, content):
    results.write("scan/result.json", content, "application/json")
    assert read_result(results, SCAN) is None
    assert not run().repeated
    assert read_result(results, SCAN) is not None


def test_the_result_of_another_scan_does_not_count(run, scans, results, make_scan, tmp_path):
    # As where somebody copied a scan with all that came out of it.
    run()
    for name, data in make_scan(frames=2, person=PERSON).items():
        scans.write(f"copy/{name}", data, "application/octet-stream")
    shutil.copytree(tmp_path / "results" / "scan", tmp_path / "results" / "copy")
    outcome = run(scan_id="copy")
    assert (outcome.repeated, outcome.result.scan_id) == (False, "copy")


def test_an_incomplete_result_is_made_again(run, results, tmp_path):
    before = files_in(tmp_path / "results" / "scan") if run() else {}
    results.delete("scan/frames/1/pose.json")
    assert not run().repeated
    assert set(files_in(tmp_path / "results" / "scan")) == set(before)
    assert run().repeated


@pytest.mark.parametrize("step", ["fetch", "publish"])
def test_a_time_limit_that_strikes_in_a_storage_names_it(run, scans, results, monkeypatch, step):
    def out_of_time(*_: object) -> None:
        raise TimeLimitReached

    place, method = {"fetch": (scans, "objects"), "publish": (results, "write")}[step]
    monkeypatch.setattr(place, method, out_of_time)
    with pytest.raises(TimeLimitReached) as limit:
        run()
    assert limit.value.storage == place.name


def test_there_is_no_result_until_all_of_it_is_there(run, results, monkeypatch):
    write = results.write

    def fail_at_the_last_frame(key: str, data: bytes, content_type: str) -> None:
        if key.startswith("scan/frames/1/"):
            raise StorageUnavailable("away")
        write(key, data, content_type)

    monkeypatch.setattr(results, "write", fail_at_the_last_frame)
    with pytest.raises(StorageUnavailable):
        run()
    assert read_result(results, SCAN) is None
    monkeypatch.undo()
    assert not run().repeated


def test_a_picture_that_is_withheld_now_does_not_remain_from_before(run, results, tmp_path, monkeypatch):
    for name in ("frames/0/blurred.jpg", "frames/7/pose.json", "result.json", "status.json"):
        results.write(f"scan/{name}", b"{}", "application/json")
    calls: list[str] = []
    for method in ("write", "delete"):
        do = getattr(results, method)

        def noted(key: str, *rest: object, method: str = method, do: Callable[..., None] = do) -> None:
            calls.append(f"{method} {key}")
            do(key, *rest)

        monkeypatch.setattr(results, method, noted)
    run()
    stored = files_in(tmp_path / "results" / "scan")
    assert set(stored) == {"frames/0/pose.json", "frames/1/pose.json", "result.json", "status.json"}
    # No reader sees the old result with anything of the new one.
    assert calls[0] == "delete scan/result.json"
    assert calls[-1] == "write scan/result.json"


def test_a_broken_frame_is_told_and_the_others_count(run, scans):
    scans.write(f"scan/depth/depth_{PERSON}_1622182020448_100_1.depth", b"not a ZIP", "application/zip")
    statuses = [frame.status for frame in run().result.frames]
    assert statuses == ["invalid", "no_person"]


def test_a_scan_that_cannot_be_used_is_refused_with_the_librarys_reason(run, scans):
    scans.write("other/readme.txt", b"", "text/plain")
    with pytest.raises(InvalidManifest):
        run(scan_id="other")
    with pytest.raises(ScanMissing):
        run(scan_id="nothing")


def test_which_files_were_looked_at_is_noted_also_if_they_cannot_be_used(run, scans, results):
    noted: list[str] = []

    def look(scan_id: str, limits: Limits = LIMITS) -> None:
        process(
            ScanId(scan_id), scans, results, FindsNobody(), limits, lambda *_: None, note_files=noted.append
        )

    look("scan")
    with pytest.raises(ScanTooLarge):
        look("scan", Limits(object_bytes=1, scan_bytes=10**7, files=100))
    scans.write("scan/more", b"1", "text/plain")
    look("scan")
    with pytest.raises(ScanMissing):
        look("nothing")
    assert noted[0] == noted[1]
    assert len(set(noted)) == 3
