"""The evaluation of faces in published pictures."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from pydantic import BaseModel

import pose
from pose.evaluation import anonymisation as evaluation
from pose.evaluation import face_table
from pose.evaluation.anonymisation import measure
from pose.evaluation.face_table import ROWS, Plan, Row, markdown, measure_rows, write_report
from pose.evaluation.face_tally import FIRST_SEED, Tally, head_mask, redaction_mask, sample_scan, tally_scan
from pose.evaluation.handling import PLAIN, Handling
from pose.evaluation.harness import FRAMES
from pose.privacy.cascades import Cascades
from pose.results import RedactionResult
from pose.synthetic.render import project_keypoints
from tests.support.rendered import person

cached_scan = cache(sample_scan)


def scan(number, *, careful=True, first_seed=FIRST_SEED, handling=PLAIN):
    return cached_scan(number, careful=careful, first_seed=first_seed, handling=handling)


class Tells(BaseModel):
    told: str


@pytest.fixture(autouse=True)
def _render_each_scene_once(monkeypatch):
    monkeypatch.setattr(evaluation, "sample_scan", scan)
    monkeypatch.setattr(face_table, "sample_scan", scan)


class Knowing(pose.Estimator):
    """Returns the true people, moved by `away` pixels."""

    name = "knowing"
    version = "1"

    def __init__(self, away: float = 0.0) -> None:
        self.away = away
        self.known: dict[bytes, list[pose.Person]] = {}

    def learn(self, number: int) -> None:
        sample = scan(number)
        for frame, picture in zip(sample.scan.frames, sample.pictures, strict=True):
            self.known[frame.rgb.tobytes()] = [
                person(project_keypoints(body, picture.scene, picture.hits)[0] + self.away)
                for body in picture.scene.people
            ]

    def detect(self, frames):
        return [pose.Detections(self.known[frame.rgb.tobytes()]) for frame in frames]


def tallied(number, away=0.0):
    estimator = Knowing(away)
    estimator.learn(number)
    return tally_scan(estimator, Cascades(), scan(number))


def test_a_scan_has_its_frames_and_the_truth_about_them():
    sample = scan(0)
    assert len(sample.scan.frames) == len(sample.pictures) == FRAMES
    assert sample.about["second_person"]
    assert all(len(picture.scene.people) == 2 for picture in sample.pictures)
    for frame, picture in zip(sample.scan.frames, sample.pictures, strict=True):
        assert frame.rgb is picture.rgb


def test_other_seeds_are_other_scans():
    other = scan(0, first_seed=400_000)
    assert other.about["seed"] == 400_000
    assert not np.array_equal(other.scan.frames[0].rgb, scan(0).scan.frames[0].rgb)


def test_some_depth_maps_have_holes_and_some_no_head():
    kinds = {scan(number).about["holes"] for number in range(6)}
    assert kinds == {None, "holes", "no depth at the head"}
    sample = scan(4)
    assert sample.about["holes"] == "no depth at the head"
    for frame, picture in zip(sample.scan.frames, sample.pictures, strict=True):
        head = head_mask(picture)
        depth = frame.depthmap.depth.repeat(2, axis=0).repeat(2, axis=1)  # as large as the picture
        assert (depth[head] == 0).mean() > 0.95
        assert (depth > 0).mean() > 0.3


def test_a_face_is_redacted_if_the_head_is_known():
    tally = tallied(5)
    assert tally.frames == FRAMES
    assert tally.faces > 0 or tally.withheld
    assert tally.redacted == tally.faces
    assert (tally.shown, tally.open_faces) == ([], 0)
    assert tally.postures == 1
    assert max(tally.lengths) < 0.05
    assert len(tally.area_ratios) == FRAMES - tally.withheld


def test_an_unredacted_face_is_counted(monkeypatch):
    """The regions of the result do not contain the face."""

    corner = (((0, 0), (9, 0), (0, 9)),)

    def beside(*arguments, **options):
        analysis = analyse(*arguments, **options)
        frames = []
        for frame in analysis.result.frames:
            covering = frame.covering and frame.covering.model_copy(update={"regions": corner})
            frames.append(frame.model_copy(update={"covering": covering}))
        return replace(analysis, result=analysis.result.model_copy(update={"frames": tuple(frames)}))

    analyse = pose.analyse_scan
    monkeypatch.setattr(pose, "analyse_scan", beside)
    number = next(n for n in range(20) if n % 3 and sum(p.face.sum() for p in scan(n).pictures) > 500)
    tally = tallied(number)
    assert tally.redacted < 0.1 * tally.faces
    assert len(tally.shown) >= tally.open_faces > 0
    assert tally.shown[0]["covered"] < 0.1


def test_a_published_picture_without_its_redaction_is_an_error(monkeypatch):
    def silent(*arguments, **options):
        analysis = analyse(*arguments, **options)
        frames = tuple(frame.model_copy(update={"covering": None}) for frame in analysis.result.frames)
        return replace(analysis, result=analysis.result.model_copy(update={"frames": frames}))

    analyse = pose.analyse_scan
    monkeypatch.setattr(pose, "analyse_scan", silent)
    with pytest.raises(RuntimeError, match="has no `covering`"):
        tallied(5)


def test_regions_beyond_the_border_count_inside_the_picture():
    covering = RedactionResult(
        method="blur", grid=4, levels=2, noise=14, regions=(((-5, -5), (3, -5), (3, 4), (-5, 4)),)
    )
    mask = redaction_mask(covering, (20, 10))
    assert mask.shape == (10, 20)
    assert mask.sum() == 4 * 5
    assert mask[:5, :4].all()


def test_picture_and_depth_map_are_those_of_the_phone_as_it_was_held():
    plain, upside = scan(5), scan(5, handling=Handling(roll=180, other_posture=True))
    assert {frame.step for frame in upside.scan.frames} == {plain.scan.step - 100}
    face, turned = plain.pictures[0].face, upside.pictures[0].face[::-1, ::-1]
    assert face.sum() > 100
    assert (face & turned).sum() > 0.7 * (face | turned).sum()  # the principal point is beside the middle
    a, b = plain.scan.frames[0].depthmap.rotation, upside.scan.frames[0].depthmap.rotation
    assert b == pytest.approx(a @ np.diag([-1, -1, 1]))


def test_a_report_contains_shares_and_counts(monkeypatch):
    monkeypatch.setattr(evaluation, "count_leaked_metadata", lambda *arguments: 0)
    estimator = Knowing()
    estimator.learn(0)
    report = measure(estimator, Cascades(), 1, careful=True)
    assert report["frames"] == FRAMES
    assert 0 <= report["withheld"] <= 1
    assert 0 <= report["face_pixels_covered"] <= 1
    assert report["faces_found_outside_what_is_covered"] >= 0


@pytest.mark.parametrize("leaks", [False, True])
def test_metadata_is_counted_only_if_it_is_published(monkeypatch, make_scan, leaks):
    monkeypatch.setattr(evaluation, "scan_files", lambda *arguments, **options: make_scan().items())
    monkeypatch.setattr(pose, "read_scan_files", lambda files: files)

    def publish(files, estimator):
        pictures = {name: data for name, data in files.items() if name.startswith("rgb/")}
        return SimpleNamespace(artefacts=pictures if leaks else {}, result=Tells(told="nothing"))

    monkeypatch.setattr(pose, "analyse_scan", publish)
    assert (evaluation.count_leaked_metadata(Knowing(), 1) > 1000) == leaks


@pytest.mark.parametrize("careless", [True, False])
def test_the_printed_report_says_how_carefully_the_scans_were_taken(monkeypatch, capsys, careless):
    monkeypatch.setattr(evaluation, "measure", lambda *_, careful, **__: {"measured": careful})
    evaluation.main(scans=1, careless=careless)
    report = json.loads(capsys.readouterr().out)
    assert (report["careful"], report["measured"]) == (not careless, not careless)


def test_counts_of_scans_are_added():
    total = Tally()
    for withheld, reason in ((1, "dark"), (2, "dark"), (0, None)):
        reasons = Counter({reason: withheld} if reason else {})
        total.add(Tally(scans=1, frames=3, withheld=withheld, reasons=reasons, area_ratios=[2.0]))
    report = total.report()
    assert (report["scans"], report["frames"], report["withheld"]) == (3, 9, 0.3333)
    assert report["withheld_because"] == {"dark": 3}
    assert total.area_ratios == [2.0] * 3


def test_the_reason_of_a_withheld_picture_is_counted_without_that_of_the_missing_3d():
    estimator = Knowing()
    estimator.known = {frame.rgb.tobytes(): [] for frame in scan(5).scan.frames}
    tally = tally_scan(estimator, Cascades(), scan(5))
    assert tally.withheld == FRAMES
    assert list(tally.reasons) == ["nobody was found, so it is not certain that no face is seen"]


def test_each_row_is_measured_with_each_face_detector(monkeypatch):
    monkeypatch.setitem(ROWS, "other step", Row("step:999"))
    estimator = Knowing()
    estimator.learn(5)
    found = measure_rows(
        Plan(("plain", "other step")), estimator, {"a": Cascades(), "b": Cascades()}, number=5
    )
    assert list(found) == [("plain", "a"), ("plain", "b"), ("other step", "a"), ("other step", "b")]
    assert all((tally.scans, tally.frames) == (1, FRAMES) for tally in found.values())


def test_the_table_has_a_line_for_each_row_and_face_detector():
    tally = Tally(scans=4, frames=12, withheld=3, faces=1000, redacted=998, area=50, heads=20, open_faces=1)
    lines = markdown({("plain", "haar"): tally, ("mirror", "yunet"): Tally(scans=4, frames=12, withheld=12)})
    assert lines.splitlines()[2:] == [
        "| plain | haar | 4 | 12 | 25.0% | 1 | 99.800% | 2.5 |",
        "| mirror | yunet | 4 | 12 | 100.0% | 0 |  |  |",
    ]


def test_the_rows_are_all_that_is_promised():
    assert {"plain", "upside", "step:other", "mirror", "mirror:exif", "crop80", "careless"} <= set(ROWS)
    assert ROWS["fresh seeds"].first_seed != FIRST_SEED
    assert [row.careful for row in ROWS.values()].count(False) == 1


def test_a_table_stops_when_its_time_is_over_and_says_how_many_scans_it_has(monkeypatch, tmp_path, capsys):
    """No process is started here: the pool runs what it gets at once."""

    class AtOnce:
        def __init__(self, jobs, context, prepare, arguments):
            prepare(*arguments)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, task, *arguments):
            future: Future[object] = Future()
            future.set_result(task(*arguments))
            return future

    estimator = Knowing()
    for number in range(3):
        estimator.learn(number)
    clock = iter([0.0, 1.0, 2.0, 70.0])  # the beginning, and each of three scans
    monkeypatch.setattr(face_table, "ProcessPoolExecutor", AtOnce)
    monkeypatch.setattr(face_table, "time", SimpleNamespace(time=lambda: next(clock)))
    monkeypatch.setattr(face_table.torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(face_table.cv2, "setNumThreads", lambda threads: None)
    monkeypatch.setattr(face_table, "load_depth_network", lambda *_: estimator)
    report = tmp_path / "report.json"
    evaluation.print_table(Plan(("plain",), ("haar",)), 3, 1, 1.0, report)
    assert "| plain | haar | 2 | 6 |" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert (written["model"], written["rows"][0]["scans"]) == ("knowing", 2)


def test_a_report_is_replaced_only_by_a_complete_one(tmp_path):
    path = tmp_path / "report.json"
    write_report(path, {"model": "a"}, {("plain", "haar"): Tally()})
    with pytest.raises(TypeError):
        write_report(path, {"model": object()}, {})
    assert json.loads(path.read_text())["model"] == "a"


@pytest.mark.parametrize("rows", ["upsidedown", "plain,", ""])
def test_rows_that_do_not_exist_are_refused(rows):
    with pytest.raises(typer.BadParameter, match="expected all or plain"):
        evaluation.main(table=True, rows=rows)
