"""The evaluation of faces in published pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import BaseModel

import pose
from pose.evaluation import anonymisation as evaluation
from pose.evaluation.anonymisation import FIRST_SEED, Tally, measure, redaction_mask, sample_scan, tally_scan
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


class Knowing(pose.Estimator):
    """Returns the true people, moved by `away` pixels."""

    name = "knowing"
    version = "1"

    def __init__(self, away: float = 0.0) -> None:
        self.away = away
        self.known: dict[bytes, list[pose.Person]] = {}

    def learn(self, number: int) -> None:
        frames, pictures, _ = scan(number)
        for frame, picture in zip(frames.frames, pictures, strict=True):
            self.known[frame.rgb.tobytes()] = [
                person(project_keypoints(body, picture.scene, picture.hits)[0] + self.away)
                for body in picture.scene.people
            ]

    def detect(self, frames):
        return [pose.Detections(self.known[frame.rgb.tobytes()]) for frame in frames]


def tallied(number, away=0.0):
    estimator, tally = Knowing(away), Tally()
    estimator.learn(number)
    tally_scan(tally, estimator, Cascades(), number, careful=True)
    return tally


def test_a_scan_has_its_frames_and_the_truth_about_them():
    frames, pictures, about = scan(0)
    assert len(frames.frames) == len(pictures) == FRAMES
    assert about["second_person"]
    assert all(len(picture.scene.people) == 2 for picture in pictures)
    for frame, picture in zip(frames.frames, pictures, strict=True):
        assert frame.rgb is picture.rgb


def test_other_seeds_are_other_scans():
    frames, _, about = scan(0, first_seed=400_000)
    assert about["seed"] == 400_000
    assert not np.array_equal(frames.frames[0].rgb, scan(0)[0].frames[0].rgb)


def test_some_depth_maps_have_holes_and_some_no_head():
    kinds = {scan(number)[2]["holes"] for number in range(6)}
    assert kinds == {None, "holes", "no depth at the head"}
    frames, pictures, about = scan(4)
    assert about["holes"] == "no depth at the head"
    for frame, picture in zip(frames.frames, pictures, strict=True):
        head = evaluation.head_mask(picture)
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
    number = next(n for n in range(20) if n % 3 and sum(p.face.sum() for p in scan(n)[1]) > 500)
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
    assert {frame.step for frame in upside[0].frames} == {plain[0].step - 100}
    face, turned = plain[1][0].face, upside[1][0].face[::-1, ::-1]
    assert face.sum() > 100
    assert (face & turned).sum() > 0.7 * (face | turned).sum()  # the principal point is beside the middle
    a, b = plain[0].frames[0].depthmap.rotation, upside[0].frames[0].depthmap.rotation
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
