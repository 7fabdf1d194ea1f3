"""The analysis of scans, with an estimator that knows the people in them."""

import hashlib
import json
import os
import sys
import tempfile
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

import pose
from pose import FrameStatus, Posture, QualityLimits
from pose.analysis.export import ARTEFACTS
from pose.analysis.frame import Options
from pose.analysis.quality import LIMITS, check
from pose.analysis.scan import fingerprint_of
from pose.estimators.base import Detections
from pose.privacy.cascades import Cascades
from pose.scan.frame import BrokenFrame, Scan
from pose.scan.pictures import decode_picture
from tests.support.rendered import KnowingEstimator, first, rendered, two_people

STRICT = Options(limits=LIMITS["production"])
DIGEST = "0123456789abcdef" * 4


def good(posture="standing"):
    """A frame that keeps all limits and shows a face."""

    def fits(truth):
        frame, someone = truth.frame, truth.people[0]
        if truth.face.sum() < 150 or check(QualityLimits(), frame, Detections([someone]), 1.0, None):
            return False
        skeleton = pose.lift(frame.depthmap, someone.keypoints, someone.scores, frame.picture_size)
        return skeleton.chain_observed and skeleton.floor is not None

    return first(fits, posture)


def scan_of(*truths, broken=(), digest=DIGEST):
    """A scan whose frames are those, in order, and an estimator that knows the people."""
    frames = tuple(replace(truth.frame, order=order) for order, truth in enumerate(truths))
    people = {order: truth.people for order, truth in enumerate(truths)}
    return Scan(frames[0].step, frames, tuple(broken), digest), KnowingEstimator(people)


def mirrored(truth):
    """The same frame, with the mirror image as its picture."""
    return replace(truth, frame=replace(truth.frame, rgb=np.ascontiguousarray(truth.frame.rgb[:, ::-1])))


class KnowingByDepth(KnowingEstimator):
    uses_depth = True


def without_pose(truth):
    """The same frame of a phone whose pose is unknown."""
    depthmap = replace(truth.frame.depthmap, rotation=np.eye(3), translation=np.zeros(3), pose_known=False)
    return replace(truth, frame=replace(truth.frame, depthmap=depthmap))


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_a_good_frame_gives_everything(posture):
    truth = good(posture)
    analysis = pose.analyse_scan(*scan_of(truth), scan_id="s1")
    result = analysis.result
    assert result.posture == posture
    assert result.posture_confidence > 0.5
    assert result.frames_used == 1
    assert result.body_length_m == pytest.approx(truth.true_people[0].length, abs=0.08)
    frame = result.frames[0]
    assert frame.status is FrameStatus.OK
    assert frame.reason is None
    assert frame.quality == ()
    assert frame.floor_height_m == pytest.approx(0, abs=0.02)
    assert frame.picture == "s1/frames/0/blurred.jpg"
    distance = np.linalg.norm(truth.true_people[0].joints - truth.frame.depthmap.translation, axis=1).mean()
    assert frame.child_distance_m == pytest.approx(distance, abs=0.06)
    someone = frame.people[0]
    assert someone.posture == posture
    assert someone.skeleton is not None
    assert [joint.name for joint in someone.skeleton] == list(pose.keypoints.NAMES)
    assert set(analysis.artefacts) == {
        "frames/0/blurred.jpg", "frames/0/overlay.jpg", "frames/0/depth.png", "frames/0/skeleton.obj",
        "frames/0/pose.json",
    }  # fmt: skip


def test_the_blurred_picture_is_whole_and_the_overlay_is_upright():
    truth = good()
    artefacts = pose.analyse_scan(*scan_of(truth)).artefacts
    height, width = truth.frame.rgb.shape[:2]
    assert decode_picture(artefacts["frames/0/blurred.jpg"]).shape == (height, width, 3)
    assert decode_picture(artefacts["frames/0/overlay.jpg"]).shape == (width, height, 3)


def test_the_face_is_not_in_the_blurred_picture():
    truth = good()
    artefacts = pose.analyse_scan(*scan_of(truth)).artefacts
    before = truth.frame.rgb[truth.face].astype(int)
    after = decode_picture(artefacts["frames/0/blurred.jpg"])[truth.face].astype(int)
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] < 0.7
    assert after.std(axis=0).max() < before.std(axis=0).max()


def test_the_result_holds_each_pose_json_and_the_digest_of_each_artefact():
    analysis = pose.analyse_scan(*scan_of(good()), scan_id="s1")
    written = json.loads(analysis.artefacts["frames/0/pose.json"])
    assert written == json.loads(analysis.result.frames[0].model_dump_json(exclude={"timings_ms"}))
    assert pose.results.FrameResult.model_validate(written).order == 0
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in analysis.artefacts.items()}
    assert "frames/0/pose.json" in digests
    assert analysis.result.artefacts == digests


def test_several_persons_give_a_picture_and_no_skeleton():
    analysis = pose.analyse_scan(*scan_of(two_people()), scan_id="s1")
    frame = analysis.result.frames[0]
    assert frame.status is FrameStatus.SEVERAL_PERSONS
    assert "several persons" in str(frame.reason)
    assert len(frame.people) == 2
    assert all(someone.skeleton is None and someone.body_length_m is None for someone in frame.people)
    assert frame.picture is not None
    assert "person_count" in frame.quality
    assert analysis.result.frames_used == 0
    assert "frames/0/skeleton.obj" not in analysis.artefacts


def test_a_frame_without_people_has_figures_of_its_own_and_no_picture():
    truth = good()
    scan, _ = scan_of(truth)
    analysis = pose.analyse_scan(scan, KnowingEstimator({}), scan_id="s1")
    frame = analysis.result.frames[0]
    assert frame.status is FrameStatus.NO_PERSON
    assert frame.people == ()
    assert frame.picture is None
    assert frame.covering is None
    assert "no person" in str(frame.reason)
    assert frame.floor_height_m is not None
    assert set(analysis.artefacts) == {"frames/0/pose.json"}
    assert analysis.result.posture is Posture.UNKNOWN


def test_a_broken_frame_is_invalid_and_the_others_count():
    broken = BrokenFrame(1, 100, "depth of frame 1: header: no line end")
    scan, estimator = scan_of(good(), broken=[broken])
    result = pose.analyse_scan(scan, estimator, scan_id="s1").result
    assert [frame.status for frame in result.frames] == [FrameStatus.OK, FrameStatus.INVALID]
    assert result.frames[1].reason == broken.reason
    assert result.frames_used == 1


def test_what_of_a_scan_was_not_used_stands_in_its_result():
    scan, estimator = scan_of(good())
    told = ("scan.json: artifacts[4]: order: missing or out of range",)
    assert pose.analyse_scan(replace(scan, ignored=told), estimator).result.ignored == told
    assert pose.analyse_scan(scan, estimator).result.ignored == ()


def test_without_a_pose_there_are_lengths_and_no_heights():
    truth = good()
    frame = pose.analyse_scan(*scan_of(without_pose(truth)), scan_id="s1").result.frames[0]
    someone = frame.people[0]
    assert someone.skeleton is None
    assert someone.body_length_m == pytest.approx(truth.true_people[0].length, abs=0.08)
    assert someone.posture is Posture.UNKNOWN
    assert "pose is unknown" in str(frame.reason)
    assert frame.floor_height_m is None
    assert frame.camera_angle_deg is None
    assert frame.quality == ("camera_pose",)


def test_without_depth_at_the_person_there_is_no_3d_and_no_picture():
    truth = good()
    empty = replace(truth.frame.depthmap, depth=np.zeros_like(truth.frame.depthmap.depth))
    frame = pose.analyse_scan(
        *scan_of(replace(truth, frame=replace(truth.frame, depthmap=empty))), scan_id="s1"
    ).result.frames[0]
    assert frame.status is FrameStatus.OK
    assert frame.people[0].skeleton is None
    assert frame.people[0].body_length_m is None
    assert frame.child_distance_m is None
    assert frame.picture is None
    assert {"missing_depth", "no_depth"} <= set(frame.quality)


def test_a_picture_that_was_turned_or_cropped_is_withheld_and_its_frame_does_not_count():
    """Heads are redacted where the depth map shows them: in such a picture that is another place."""
    truth = good()
    turned, cropped = np.rot90(truth.frame.rgb).copy(), truth.frame.rgb[:180].copy()
    for rgb in (turned, cropped):
        scan, estimator = scan_of(replace(truth, frame=replace(truth.frame, rgb=rgb)))
        analysis = pose.analyse_scan(scan, estimator)
        (frame,) = analysis.result.frames
        assert frame.picture is None
        assert "picture withheld: it or the depth map does not fit the calibration" in str(frame.reason)
        assert frame.quality == ("calibration",)
        assert analysis.result.frames_used == 0
        assert not [name for name in analysis.artefacts if name.endswith(".jpg")]


def test_the_scans_length_is_the_median_over_the_frames_used():
    truths = [good(), two_people(), good(), without_pose(good())]
    result = pose.analyse_scan(*scan_of(*truths), scan_id="s1").result
    assert result.frames_used == 3
    assert [frame.weight > 0 for frame in result.frames] == [True, False, True, True]
    lengths = [result.frames[i].people[0].body_length_m for i in (0, 2, 3)]
    assert result.body_length_m == pytest.approx(np.median(np.array(lengths, float)))


def test_with_strict_limits_the_posture_has_half_the_confidence_if_no_frame_keeps_them():
    truth = good()
    strict = Options(limits=QualityLimits(distance=(5.0, 6.0), strict=True))
    scan, estimator = scan_of(truth)
    usual = pose.analyse_scan(scan, estimator).result
    result = pose.analyse_scan(scan, estimator, options=strict).result
    assert result.frames[0].quality == ("too_near",)
    assert result.frames_used == 0
    assert result.body_length_m is None
    assert result.posture is Posture.STANDING
    assert result.posture_confidence == pytest.approx(usual.posture_confidence / 2, abs=1e-4)


def test_a_frame_outside_the_limits_counts_less_and_its_scan_says_what_to_do():
    scan, estimator = scan_of(good())
    far = Options(limits=QualityLimits(camera_angle=(20.0, 30.0), distance=(0.1, 0.5)))
    usual, result = (pose.analyse_scan(scan, estimator, options=each).result for each in (None, far))
    assert result.frames[0].quality == ("camera_angle", "too_far")
    assert 0 < result.frames[0].weight < usual.frames[0].weight
    assert result.body_length_m == usual.body_length_m
    assert result.body_length_estimate_m is not None and usual.body_length_estimate_m is not None
    assert result.body_length_estimate_m.half_width > usual.body_length_estimate_m.half_width
    assert (result.frames_used, result.posture) == (1, usual.posture)
    (reason,) = (each for each in result.verdict_reasons if each.code == "too_far")
    assert reason.text.startswith("step closer: 0.")
    assert reason.frames == (0,)


def test_a_scan_of_which_nothing_counts_has_no_posture_and_says_why():
    scan, _ = scan_of(two_people())
    result = pose.analyse_scan(scan, KnowingEstimator({0: two_people().people})).result
    assert (result.posture, result.posture_confidence, result.verdict) == ("unknown", 0.0, "repeat")
    assert [reason.code for reason in result.verdict_reasons] == ["several_persons"]
    assert result.body_length_estimate_m is None


def test_the_limit_of_the_score_is_that_of_the_estimator():
    truth = good()
    scan, estimator = scan_of(truth)
    estimator.people[0][0].scores[:] = 0.6
    try:
        assert pose.analyse_scan(scan, estimator).result.frames[0].quality == ("score",)
        estimator.min_score = 0.5
        assert pose.analyse_scan(scan, estimator).result.frames[0].quality == ()
    finally:
        rendered.cache_clear()


def test_progress_counts_the_frames():
    seen = []
    scan, estimator = scan_of(good(), good(), broken=[BrokenFrame(7, 100, "broken")])
    pose.analyse_scan(scan, estimator, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (2, 3), (3, 3)]


def test_estimators_get_frames_in_batches(monkeypatch):
    monkeypatch.setattr("pose.analysis.scan.BATCH", 2)
    scan, estimator = scan_of(*[good()] * 3)
    other = KnowingEstimator(estimator.people)
    result = pose.analyse_scan(scan, estimator, compare_with=other).result
    assert estimator.batches == other.batches == [2, 1]
    assert [frame.order for frame in result.frames] == [0, 1, 2]
    assert result.drift is not None and result.drift.frames == 3


def test_each_stage_is_timed():
    result = pose.analyse_scan(*scan_of(good())).result
    assert set(result.timings_ms) == {"estimate", "frames", "total"}
    stages = {"estimate", "alignment", "floor", "lift", "heads", "cover", "draw", "total"}
    assert set(result.frames[0].timings_ms) == stages


def test_equal_input_gives_equal_output_but_for_times():
    def content(analysis):
        written = json.loads(analysis.result.model_dump_json(exclude={"timings_ms"}))
        for frame in written["frames"]:
            frame.pop("timings_ms")
        return written, analysis.artefacts

    assert content(pose.analyse_scan(*scan_of(good()))) == content(pose.analyse_scan(*scan_of(good())))


def test_the_scan_id_is_a_digest_by_default():
    analysis = pose.analyse_scan(*scan_of(good()))
    assert analysis.result.scan_id == DIGEST[:32]


def test_an_invalid_scan_id_is_refused_before_any_work():
    scan, _ = scan_of(good())
    with pytest.raises(ValidationError):
        pose.analyse_scan(scan, None, scan_id="../elsewhere")  # type: ignore[arg-type]


def test_a_fingerprint_depends_on_all_that_decides_a_result():
    scan, estimator = scan_of(good())
    solid, newer = Options(cover="solid"), KnowingEstimator(estimator.people)
    newer.version = "2"
    prints = {
        fingerprint_of(scan, estimator),
        fingerprint_of(replace(scan, digest="f" * 64), estimator),
        fingerprint_of(scan, newer),
        fingerprint_of(scan, estimator, solid),
        fingerprint_of(scan, estimator, compare_with=estimator),
        fingerprint_of(scan, estimator, compare_with=newer),
    }
    assert len(prints) == 6
    result = pose.analyse_scan(scan, estimator, options=solid, compare_with=newer).result
    assert result.fingerprint == fingerprint_of(scan, estimator, solid, compare_with=newer)
    assert pose.analyse_scan(scan, estimator, fingerprint="mine").result.fingerprint == "mine"


def shifted(people, by):
    """The same people, found (du, dv) pixels away by another model."""
    return {
        order: [replace(one, keypoints=one.keypoints + np.array(by)) for one in found]
        for order, found in people.items()
    }


def test_a_second_model_adds_the_drift_and_changes_nothing_else():
    truth = good()
    scan, estimator = scan_of(truth, truth)
    other = KnowingEstimator(shifted(estimator.people, (3.0, -4.0)))
    other.name = "other"
    alone = pose.analyse_scan(scan, estimator).result
    result = pose.analyse_scan(scan, estimator, compare_with=other).result
    assert alone.drift is None
    assert result.drift is not None
    assert (result.model.name, result.drift.model.name) == ("knowing", "other")
    assert (result.drift.frames, result.drift.offset_px) == (2, (3.0, -4.0))
    assert not result.drift.alarm
    assert "compare" in result.timings_ms
    kept = ("model", "posture", "posture_confidence", "body_length_m", "frames_used")
    assert [getattr(result, name) for name in kept] == [getattr(alone, name) for name in kept]
    assert [frame.people for frame in result.frames] == [frame.people for frame in alone.frames]


class Turning(KnowingEstimator):
    """Also tells how the picture must be turned."""

    def __init__(self, people, turns, uncertain=False):
        super().__init__(people)
        self.turns, self.uncertain = turns, uncertain

    def detect(self, frames):
        told = {"turns": self.turns, "turns_uncertain": self.uncertain}
        return [replace(found, **told) for found in super().detect(frames)]


@pytest.mark.parametrize(("posture", "turns"), [("standing", 1), ("lying", 3)])
def test_the_overlay_is_turned_as_the_estimator_tells_or_else_head_up(posture, turns):
    scan, estimator = scan_of(good(posture))
    told, guessed, upside = (
        pose.analyse_scan(scan, each).artefacts["frames/0/overlay.jpg"]
        for each in (Turning(estimator.people, turns), estimator, Turning(estimator.people, turns + 2))
    )
    assert guessed == told
    assert upside != told


@pytest.mark.parametrize("wrong", [200, 999])
def test_a_wrong_step_changes_neither_figures_nor_covering(wrong):
    scan, estimator = scan_of(good())
    mistaken = replace(scan, step=wrong, frames=tuple(replace(frame, step=wrong) for frame in scan.frames))
    right, result = (
        pose.analyse_scan(each, Turning(estimator.people, 1)).result for each in (scan, mistaken)
    )
    kept = ("posture", "posture_confidence", "body_length_m", "frames_used")
    assert [getattr(result, name) for name in kept] == [getattr(right, name) for name in kept]
    assert result.frames[0].covering == right.frames[0].covering is not None
    assert result.frames[0].quality == (("step_mismatch",) if wrong == 200 else ())


def test_without_a_certain_turn_the_picture_is_withheld_and_the_frame_counts_unless_limits_are_strict():
    scan, known = scan_of(good())
    estimator = Turning(known.people, 1, uncertain=True)
    strict = pose.analyse_scan(scan, estimator, options=STRICT).result
    assert (strict.frames_used, strict.frames[0].quality) == (0, ("orientation",))
    result = pose.analyse_scan(scan, estimator).result
    assert (result.frames_used, result.frames[0].quality) == (1, ("orientation",))
    assert result.frames[0].picture is None
    assert result.frames[0].reason == "picture withheld: it is not certain which way is up"


def test_the_plush_scan_has_figures_and_nobody(plush):
    result = pose.analyse_scan(pose.read_scan(plush), KnowingEstimator({}), scan_id="plush").result
    assert [frame.status for frame in result.frames] == [FrameStatus.NO_PERSON] * len(result.frames)
    assert all(frame.picture is None for frame in result.frames)
    assert all(frame.floor_height_m == pytest.approx(-0.971, abs=0.012) for frame in result.frames)
    assert [frame.missing_depth for frame in result.frames] == pytest.approx(
        [0.2493, 0.2455, 0.2452], abs=1e-3
    )


class Uncertain(KnowingEstimator):
    """Finds the first person of each frame; the others are low-confidence detections."""

    def detect(self, frames):
        return [Detections(found.people[:1], found.people[1:]) for found in super().detect(frames)]


def test_a_low_confidence_detection_is_redacted_and_has_no_other_effect():
    truth = two_people()
    scan, _ = scan_of(truth)
    sure = pose.analyse_scan(scan, KnowingEstimator({0: truth.people[:1]})).result.frames[0]
    frame = pose.analyse_scan(scan, Uncertain({0: truth.people})).result.frames[0]
    assert (frame.status, frame.people, frame.quality) == (sure.status, sure.people, sure.quality)
    assert truth.face[redacted_in(sure)].sum() < 0.9 * truth.face.sum()
    assert truth.face[redacted_in(frame)].sum() >= 0.999 * truth.face.sum()


def redacted_in(frame):
    """Return an (H, W) bool mask of the regions in a frame's result."""
    mask = np.zeros((240, 320), np.uint8)
    for outline in frame.covering.regions:
        cv2.fillConvexPoly(mask, np.array(outline, np.int32), 1)
    return mask.astype(bool)


@pytest.mark.parametrize("method", ["blur", "mosaic", "solid"])
def test_the_result_says_how_and_where_a_picture_was_redacted(method):
    truth = good()
    scan, estimator = scan_of(truth)
    frame = pose.analyse_scan(scan, estimator, options=Options(cover=method)).result.frames[0]
    direct = pose.anonymise(truth.frame.rgb, truth.people, truth.frame.depthmap, method, turns=1)
    assert frame.covering is not None
    assert frame.covering.method == method
    assert frame.covering.second_look == direct.second_look
    assert (redacted_in(frame) == direct.mask).all()


def test_these_artefacts_are_published_and_no_others():
    """No depth map with heads, point cloud or mesh: they show a head as well as a picture does."""
    scan, estimator = scan_of(good(), two_people(), without_pose(good()))
    names = {name.rpartition("/")[2] for name in pose.analyse_scan(scan, estimator).artefacts}
    assert names == {"blurred.jpg", "overlay.jpg", "depth.png", "skeleton.obj", "pose.json"}
    assert set(ARTEFACTS) == names


def test_nothing_is_written_to_any_disk(tmp_path, monkeypatch):
    """Originals are only read: no copy of them, nor of anything, is put into a temporary file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    opened: list[object] = []

    def watch(event, arguments):
        writes = event == "open" and (
            any(letter in str(arguments[1]) for letter in "wxa+") or arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if writes and watching:
            opened.append(arguments[0])

    watching = True
    sys.addaudithook(watch)
    try:
        pose.analyse_scan(*scan_of(good(), two_people()))
    finally:
        watching = False
    assert opened == []
    assert list(tmp_path.iterdir()) == []


def test_an_aligned_frame_says_how_well_its_picture_and_depth_map_agree():
    frame = pose.analyse_scan(*scan_of(good())).result.frames[0]
    assert frame.exif_orientation == 1
    assert frame.alignment is not None
    assert frame.alignment.margin > frame.alignment.limit
    assert frame.alignment.score > 5


def test_a_misaligned_frame_has_no_picture_and_no_3d_from_its_picture():
    analysis = pose.analyse_scan(*scan_of(mirrored(good())))
    frame = analysis.result.frames[0]
    assert frame.quality == ("misaligned", "no_depth")
    assert frame.alignment is not None
    assert frame.alignment.margin < frame.alignment.limit
    assert frame.alignment.rival == "mirror"
    assert frame.picture is None
    assert frame.people[0].skeleton is None
    assert frame.people[0].body_length_m is None
    assert frame.reason == (
        "picture and depth map do not show the same view: no 3D; "
        "picture withheld: it does not show the same view as the depth map"
    )
    assert set(analysis.artefacts) == {"frames/0/pose.json"}
    assert analysis.result.frames_used == 0


def test_a_misaligned_frame_still_counts_where_the_keypoints_are_from_the_depth_map():
    truth = good()
    scan, known = scan_of(mirrored(truth))
    result = pose.analyse_scan(scan, KnowingByDepth(known.people)).result
    straight = pose.analyse_scan(*scan_of(truth)).result
    assert result.frames[0].quality == ("misaligned",)
    assert result.frames[0].picture is None
    assert result.frames_used == 1
    assert result.body_length_m == straight.body_length_m


def test_a_frame_of_unknown_orientation_has_no_picture():
    scan, known = scan_of(good())
    doubtful = replace(scan.frames[0], orientation_known=False)
    frame = pose.analyse_scan(replace(scan, frames=(doubtful,)), known).result.frames[0]
    assert frame.picture is None
    assert "misaligned" in frame.quality
    assert frame.alignment is not None
    assert not frame.alignment.orientation_known


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "what the estimator detects is None, expected a list of Detections"),
        ([[]], "what the estimator detects[0] is list, expected Detections"),
        ([Detections([])] * 2, "the estimator returned 2 Detections for 1 frames, expected one for each"),
    ],
)
def test_an_estimator_that_returns_something_else_is_told_so(monkeypatch, returned, told):
    scan, estimator = scan_of(rendered(0, "standing"))
    monkeypatch.setattr(estimator, "detect", lambda _: returned)
    with pytest.raises(ValueError) as caught:
        pose.analyse_scan(scan, estimator)
    assert str(caught.value) == told


class Recording(Cascades):
    """Notes the threads that look for faces."""

    def __init__(self):
        super().__init__()
        self.threads = set()

    def find(self, rgb, turns=None, mask=None):
        self.threads.add(threading.get_ident())
        return super().find(rgb, turns, mask)


def test_frames_are_finished_in_several_threads_with_the_same_result(monkeypatch):
    scan, estimator = scan_of(good(), two_people(), good(), good(), good(), good())
    alone, together, unsafe = Recording(), Recording(), Recording()
    unsafe.thread_safe = False
    expected = pose.analyse_scan(scan, estimator, face_detector=alone)
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 3)
    told = []
    found = pose.analyse_scan(
        scan,
        estimator,
        face_detector=together,
        progress=lambda *at: told.append((*at, threading.get_ident())),
    )
    pose.analyse_scan(scan, estimator, face_detector=unsafe)
    here = threading.get_ident()
    assert found.artefacts == expected.artefacts
    assert found.result.frames[1].people == expected.result.frames[1].people
    assert told == [(done, 6, here) for done in range(7)]
    assert here not in together.threads
    assert alone.threads == unsafe.threads == {here}
