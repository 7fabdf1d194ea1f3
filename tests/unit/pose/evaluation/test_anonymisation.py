"""What is measured about faces in published pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import pose
from pose.evaluation import anonymisation as evaluation
from pose.evaluation.anonymisation import FRAMES, Tally, covered_pixels, measure, scan_of, tally_scan
from pose.results import RedactionResult
from pose.synthetic.render import project_keypoints
from tests.support.rendered import person

scan = cache(scan_of)


class Knowing(pose.Estimator):
    """An estimator that knows where everybody is, or says `away` pixels beside it."""

    name = "knowing"
    version = "1"

    def __init__(self, away: float = 0.0) -> None:
        self.away = away
        self.known: dict[bytes, list[pose.Person]] = {}

    def learn(self, number: int) -> None:
        frames, pictures, _ = scan(number, careful=True)
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
    tally_scan(tally, estimator, number, careful=True)
    return tally


def test_a_scan_has_its_frames_and_the_truth_about_them():
    frames, pictures, about = scan(0, careful=True)
    assert len(frames.frames) == len(pictures) == FRAMES
    assert about["second_person"]
    assert all(len(picture.scene.people) == 2 for picture in pictures)
    for frame, picture in zip(frames.frames, pictures, strict=True):
        assert frame.rgb is picture.rgb


def test_other_seeds_are_other_scans():
    frames, _, about = scan(0, careful=True, first_seed=400_000)
    assert about["seed"] == 400_000
    assert not np.array_equal(frames.frames[0].rgb, scan(0, careful=True)[0].frames[0].rgb)


def test_some_depth_maps_have_holes_and_some_no_head():
    kinds = {scan(number, careful=True)[2]["holes"] for number in range(6)}
    assert kinds == {None, "holes", "no depth at the head"}
    frames, pictures, about = scan(4, careful=True)
    assert about["holes"] == "no depth at the head"
    for frame, picture in zip(frames.frames, pictures, strict=True):
        head = evaluation._heads(picture)
        depth = frame.depthmap.depth.repeat(2, axis=0).repeat(2, axis=1)  # as large as the picture
        assert (depth[head] == 0).mean() > 0.95
        assert (depth > 0).mean() > 0.3


def test_a_face_is_covered_where_the_head_is_known():
    tally = tallied(5)
    assert tally.frames == FRAMES
    assert tally.faces > 0 or tally.withheld
    assert tally.covered == tally.faces
    assert tally.shown == []
    assert len(tally.areas) == FRAMES - tally.withheld


def test_a_face_that_shows_is_noticed(monkeypatch):
    """An analysis that says it covered something beside the face."""

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
    number = next(n for n in range(20) if n % 3 and sum(p.face.sum() for p in scan(n, careful=True)[1]) > 500)
    tally = tallied(number)
    assert tally.covered < 0.1 * tally.faces
    assert tally.shown
    assert tally.shown[0]["covered"] < 0.1


def test_a_picture_that_does_not_say_how_it_was_covered_is_an_error(monkeypatch):
    def silent(*arguments, **options):
        analysis = analyse(*arguments, **options)
        frames = tuple(frame.model_copy(update={"covering": None}) for frame in analysis.result.frames)
        return replace(analysis, result=analysis.result.model_copy(update={"frames": frames}))

    analyse = pose.analyse_scan
    monkeypatch.setattr(pose, "analyse_scan", silent)
    with pytest.raises(RuntimeError, match="does not say"):
        tallied(5)


def test_regions_that_reach_out_of_the_picture_cover_what_is_in_it():
    covering = RedactionResult(
        method="blur", grid=4, levels=2, noise=14, regions=(((-5, -5), (3, -5), (3, 4), (-5, 4)),)
    )
    mask = covered_pixels(covering, (20, 10))
    assert mask.shape == (10, 20)
    assert mask.sum() == 4 * 5
    assert mask[:5, :4].all()


def test_the_report_holds_all_that_is_wanted(monkeypatch):
    monkeypatch.setattr(evaluation, "shared_with_metadata", lambda *arguments: 0)
    estimator = Knowing()
    for number in range(2):
        estimator.learn(number)
    report = measure(estimator, 2, careful=True)
    assert report["frames"] == 2 * FRAMES
    assert 0 <= report["withheld"] <= 1
    assert 0 <= report["face_pixels_covered"] <= 1
    assert report["faces_found_outside_what_is_covered"] >= 0


def test_nothing_of_the_metadata_is_published():
    class Nobody(pose.Estimator):
        name, version = "nobody", "1"

        def detect(self, frames):
            height, width = frames[0].rgb.shape[:2]
            points = np.linspace((width * 0.4, height * 0.3), (width * 0.6, height * 0.9), 17)
            return [pose.Detections([person(points)]) for _ in frames]

    assert evaluation.shared_with_metadata(Nobody(), 1) == 0


@pytest.mark.parametrize("careless", [True, False])
def test_the_printed_report_says_how_carefully_the_scans_were_taken(monkeypatch, capsys, careless):
    monkeypatch.setattr(evaluation, "measure", lambda *_, careful, **__: {"measured": careful})
    evaluation.main(scans=1, careless=careless)
    report = json.loads(capsys.readouterr().out)
    assert (report["careful"], report["measured"]) == (not careless, not careless)
