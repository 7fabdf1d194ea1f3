"""People are found in the upright picture and returned in pixels of the original one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pose import keypoints as kp
from pose.analysis.quality import QualityLimits
from pose.estimators.base import RGB_MIN_SCORE, Detections, Estimator, Person
from pose.estimators.detector import Detector
from pose.estimators.rgb_hrnet import RGBHRNet
from pose.estimators.topdown import TopDown
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.orientation import unturn_points
from pose.scan.frame import Frame
from tests.support.estimators import FindsNobody
from tests.unit.pose.estimators.test_detector import CHEAPEST, random_state

WIDTH, HEIGHT = 80, 60  # sensor orientation

# A person that stands upright in a picture of 60x80: each keypoint is one pixel with its own grey.
UPRIGHT = np.stack([20.0 + np.arange(kp.COUNT) % 5 * 2, 10.0 + 3 * np.arange(kp.COUNT)], axis=-1)


def grey(person: int, keypoint: int) -> int:
    return 50 + 60 * person + keypoint


def frame(step: int = 100, turns: int = 1, people: int = 1, order: int = 0) -> Frame:
    """People who stand upright once the picture is turned so often."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for person in range(people):
        for keypoint, (u, v) in enumerate(in_sensor(turns, person)):
            rgb[int(v), int(u)] = grey(person, keypoint)
    depthmap = DepthMap(np.ones((6, 8), np.float32), None, Intrinsics(7, 7, 4, 3, 8, 6))
    return Frame(order, step, rgb, depthmap)


def in_sensor(turns: int, person: int = 0) -> np.ndarray:
    """(17, 2): where a person's keypoints are in the picture as it arrives. A second one stands beside."""
    points = UPRIGHT + np.array((12 * person, 0))
    if turns % 2 == 0:  # this picture is lower: they must fit in
        points = np.rint(points * (1.0, 0.8))
    return unturn_points(points, turns, WIDTH, HEIGHT)


class Finder:
    """A detector that finds each person's pixels, the last person first."""

    name, version, min_score = "finder", "f1", 0.9

    def detect(self, pictures: Any) -> Any:
        return [self.one(picture) for picture in pictures]

    @staticmethod
    def one(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = [], []
        for person in (1, 0):
            v, u = np.nonzero((picture[..., 0] >= grey(person, 0)) & (picture[..., 0] <= grey(person, 16)))
            if len(u):
                boxes.append((u.min() - 2.0, v.min() - 3.0, u.max() + 4.0, v.max() + 5.0))
                scores.append(0.95 + 0.04 * person)
        return np.array(boxes).reshape(-1, 4), np.array(scores)


class Poser:
    """Finds the keypoints by their greys; the score is higher if the head is up."""

    runtime, precision = "torch", "fp32"

    def __init__(self, flip_test: bool = False, lying: float = 0.6) -> None:
        self.flip_test, self.lying, self.calls = flip_test, lying, 0

    def predict(self, pictures: Any, boxes: Any) -> Any:
        self.calls += 1
        return [self.one(picture, own) for picture, own in zip(pictures, boxes, strict=True)]

    def one(self, picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.zeros((len(boxes), kp.COUNT, 2))
        scores = np.full((len(boxes), kp.COUNT), 1.02)
        for i, box in enumerate(boxes):
            middle = picture[int(box[1]) + 3 : int(box[3]) - 4, int(box[0]) + 2 : int(box[2]) - 3, 0]
            person = int(middle.max() - 50) // 60
            for k in range(kp.COUNT):
                (v,), (u,) = np.nonzero(picture[..., 0] == grey(person, k))
                points[i, k] = u, v
            if points[i, 0, 1] >= points[i, 16, 1] - 20:
                scores[i] = self.lying
        scores[:, 3] = -0.01
        return points, scores


class TellsTurns(FindsNobody):
    """A depth network that finds nobody, but tells the turns of each frame by its order."""

    def __init__(self, *turns: int | None, uncertain: bool = False) -> None:
        super().__init__()
        self.turns, self.uncertain = turns, uncertain

    def detect(self, frames: Any) -> Any:
        return [Detections([], [], self.turns[frame.order], self.uncertain) for frame in frames]


def estimator(depth: Estimator | None = None, **options: Any) -> RGBHRNet:
    pose: Any = Poser(**options)
    return RGBHRNet(Finder(), pose, "hrnet-test", "w1", depth or TellsTurns(1))


@pytest.mark.parametrize("turns", [1, 3])
def test_keypoints_and_box_are_in_pixels_of_the_original_picture(turns):
    ((person,),) = estimator(TellsTurns(turns)).estimate([frame(turns=turns)])
    assert person.keypoints == pytest.approx(in_sensor(turns))
    # The box of the upright picture, in edges: x0 - 2, y0 - 3, x1 + 4, y1 + 5.
    x0, y0 = UPRIGHT.min(axis=0) - (2, 3)
    x1, y1 = UPRIGHT.max(axis=0) + np.array((4, 5))
    corners = unturn_points([(x0, y0), (x1, y1)], turns, WIDTH, HEIGHT)
    assert person.box == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)))
    assert person.box_score == pytest.approx(0.95)


def test_scores_are_clipped_to_0_to_1():
    ((person,),) = estimator().estimate([frame()])
    assert person.scores.tolist() == [1, 1, 1, 0, *[1] * 13]


@pytest.mark.parametrize("depth", [TellsTurns(None), TellsTurns(1, uncertain=True)])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_turn_with_the_best_score_is_used_if_the_depth_network_is_not_certain(turns, depth):
    (found,) = estimator(depth).detect([frame(turns=turns)])
    assert (found.turns, found.turns_uncertain) == (turns, False)
    assert found.people[0].scores[0] == 1
    assert found.people[0].keypoints == pytest.approx(in_sensor(turns))


def test_a_turn_is_uncertain_if_another_one_has_nearly_the_same_score():
    (found,) = estimator(TellsTurns(None), lying=1.0).detect([frame()])
    assert found.turns_uncertain


def test_other_turns_than_that_of_the_depth_network_are_not_tried():
    (found,) = estimator(TellsTurns(1)).detect([frame(turns=3)])
    assert (found.turns, found.turns_uncertain) == (1, False)
    assert found.people[0].scores[0] == pytest.approx(0.6)
    assert found.people[0].keypoints == pytest.approx(in_sensor(3))


def test_the_person_with_the_highest_score_comes_first():
    ((first, second),) = estimator().estimate([frame(people=2)])
    assert first.box_score > second.box_score
    assert first.keypoints == pytest.approx(in_sensor(1, person=1))
    assert second.keypoints == pytest.approx(in_sensor(1, person=0))


@pytest.mark.parametrize("turns", [1, None])
def test_without_a_person_the_result_is_empty(turns):
    assert estimator(TellsTurns(turns)).estimate([frame(people=0)]) == [[]]


def test_frames_of_different_turns_keep_their_people_in_one_batch():
    pose: Any = Poser()
    people, turns = (1, 1, 0, 2, 1), (1, 2, 3, 3, 0)
    mixed = [frame(100, turns[i], people[i], i) for i in range(5)]
    depth = TellsTurns(1, None, 3, 3, None)
    found = RGBHRNet(Finder(), pose, "hrnet-test", "w1", depth).estimate(mixed)
    assert [len(people) for people in found] == [1, 1, 0, 2, 1]
    for own, turn in zip(found, turns, strict=True):
        if own:
            assert own[-1].keypoints == pytest.approx(in_sensor(turn))
    assert pose.calls == 1


def test_no_frames_give_no_results():
    assert estimator().estimate([]) == []


def test_a_box_is_clipped_to_the_picture():
    class Wide(Finder):
        @staticmethod
        def one(picture):
            boxes, scores = Finder.one(picture)
            return boxes + np.array((-100, 0, 100, 200)), scores

    class Anywhere(Poser):
        def one(self, picture, boxes):
            return np.zeros((len(boxes), 17, 2)), np.ones((len(boxes), 17))

    pose: Any = Anywhere()
    ((person,),) = RGBHRNet(Wide(), pose, "hrnet-test", "w1", TellsTurns(1)).estimate([frame()])
    x0, y0, x1, y1 = person.box
    assert (y0, y1) == (0, HEIGHT - 1) and x1 == WIDTH - 1
    assert x0 == UPRIGHT[:, 1].min() - 3


def test_the_version_contains_all_that_affects_the_result():
    assert estimator().name == "hrnet-test"
    assert estimator().version == "w1/finder-f1"
    assert estimator(flip_test=True).version == "w1/finder-f1/flip"
    eager = Finder()
    eager.min_score = 0.5
    pose: Any = Poser()
    assert RGBHRNet(eager, pose, "hrnet-test", "w1", FindsNobody()).version == "w1/finder-f1/above-0.5"


class Counting(Finder):
    """Notes how many pictures it gets each time."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, pictures: Any) -> Any:
        self.seen.append(len(pictures))
        return super().detect(pictures)


class SeesInDepth(FindsNobody):
    """A depth network that finds the given people in each frame, by its order; None: it is not sure."""

    def __init__(self, *people: list[int] | None) -> None:
        super().__init__()
        self.people = people

    def detect(self, frames: Any) -> Any:
        return [self.one(self.people[frame.order]) for frame in frames]

    @staticmethod
    def one(people: list[int] | None) -> Detections:
        found = []
        for person in people or ():
            points = in_sensor(1, person)
            low, high = points.min(axis=0) - 3, points.max(axis=0) + 3
            found.append(Person(points, np.full(kp.COUNT, 0.6), (*low, *high), 0.8))
        return Detections(found, [], 1, people is None)


def with_detect_on(detect_on: Any, depth: SeesInDepth) -> tuple[RGBHRNet, Counting]:
    pose: Any = Poser()
    finder = Counting()
    return RGBHRNet(finder, pose, "hrnet-test", "w1", depth, detect_on), finder


@pytest.mark.parametrize(("detect_on", "pictures"), [("every", [9]), ("sparse", [3]), ("depth", [1])])
def test_the_detector_sees_fewer_frames_and_the_keypoints_are_the_same(detect_on, pictures):
    frames = [frame(order=i) for i in range(9)]
    rgb, finder = with_detect_on(detect_on, SeesInDepth(*[[0]] * 9))
    found = rgb.detect(frames)
    assert finder.seen == pictures
    for each in found:
        (person,) = each.people
        assert person.keypoints == pytest.approx(in_sensor(1))
        assert (person.box_score, each.turns, each.turns_uncertain) == (0.95, 1, False)
        assert len(each.in_depth) == 1


@pytest.mark.parametrize("detect_on", ["sparse", "depth"])
def test_the_detector_sees_each_frame_where_the_depth_network_finds_others(detect_on):
    """Somebody comes in frame 1, the depth map shows nobody in frame 2, the turn of frame 3 is uncertain."""
    people = [1, 2, 1, 1]
    frames = [frame(people=people[i], order=i) for i in range(4)]
    rgb, finder = with_detect_on(detect_on, SeesInDepth([0], [0, 1], [], None))
    assert [len(each.people) for each in rgb.detect(frames)] == people
    assert sum(finder.seen) == {"sparse": 2 + 2 + 3, "depth": 1 + 2 + 4}[detect_on]


def test_where_hrnet_finds_other_keypoints_than_the_depth_network_the_detector_decides():
    class Elsewhere(Poser):
        def one(self, picture, boxes):
            points, scores = super().one(picture, boxes)
            return (points, scores) if self.calls == 1 else (points + 30, scores)

    pose: Any = Elsewhere()
    finder = Counting()
    rgb = RGBHRNet(finder, pose, "hrnet-test", "w1", SeesInDepth([0], [0]), "depth")
    rgb.detect([frame(order=i) for i in range(2)])
    assert finder.seen == [1, 1]


def test_the_version_tells_which_frames_the_detector_sees():
    assert with_detect_on("every", SeesInDepth())[0].version == "w1/finder-f1"
    assert with_detect_on("depth", SeesInDepth())[0].version == "w1/finder-f1/detect-depth"
    with pytest.raises(ValueError, match="detect_on is 'never', expected one of every, sparse, depth"):
        with_detect_on("never", SeesInDepth())


def test_its_score_limit_is_that_of_rgb_models():
    assert QualityLimits().of(estimator()).min_score == RGB_MIN_SCORE


def test_real_networks_fit_together():
    heat = torch.zeros(1, 17, 32, 24)
    heat[:, :, 20, 7] = 0.9
    pose = TopDown(lambda crops: heat.expand(len(crops), -1, -1, -1), input_size=(96, 128), batch_size=3)
    finder = Detector(random_state(CHEAPEST), CHEAPEST, min_score=0.02)
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    depthmap = frame().depthmap
    (people,) = RGBHRNet(finder, pose, "hrnet-test", "w1", TellsTurns(1)).estimate(
        [Frame(0, 100, picture, depthmap)]
    )
    ((boxes, scores),) = finder.detect([np.rot90(picture, -1)])
    assert len(people) == len(boxes) > 0
    assert [person.box_score for person in people] == pytest.approx(scores.tolist())
    for person, (x0, y0, x1, y1) in zip(people, boxes, strict=True):
        width = max(x1 - x0, (y1 - y0) * 0.75) * 1.25
        # Cell (7, 20) of 24x32, whose middle is the box's; no neighbour is larger than the others.
        upright = ((x0 + x1) / 2 - 5 * width / 24, (y0 + y1) / 2 + 4 * width / 24)
        assert person.keypoints == pytest.approx(
            np.tile(unturn_points(upright, 1, WIDTH, HEIGHT), (17, 1)), abs=1e-3
        )


class Doubting(Finder):
    """Sure of the last person only."""

    def detect(self, pictures: Any) -> Any:
        return [
            (boxes, np.array([0.95, 0.4, 0.39, 0.38, 0.37, 0.36])[: len(boxes)])
            for boxes, _ in super().detect(pictures)
        ]


class InDepth(FindsNobody):
    """A depth network that finds one person and one head in each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def detect(self, frames: Any) -> Any:
        self.asked += [frame.order for frame in frames]
        someone = Person(np.zeros((17, 2)), np.zeros(17), (0.0, 0.0, 1.0, 1.0), 0.5)
        return [Detections([someone], [someone], turns=1) for _ in frames]


def test_boxes_with_low_scores_are_low_confidence_detections():
    pose: Any = Poser()
    doubting = RGBHRNet(Doubting(), pose, "hrnet-test", "w1", TellsTurns(1))
    (found,) = doubting.detect([frame(people=2)])
    assert [len(found.people), len(found.low_confidence)] == [1, 1]
    assert found.low_confidence[0].keypoints == pytest.approx(in_sensor(1, 0))
    ((counted,),) = doubting.estimate([frame(people=2)])
    assert counted.keypoints == pytest.approx(found.people[0].keypoints)


def test_low_confidence_boxes_are_limited_in_number():
    class Many(Finder):
        def detect(self, pictures: Any) -> Any:
            box = super().one(pictures[0])[0][:1]
            return [(np.repeat(box, 20, axis=0), np.array([0.95, *[0.5] * 19]))]

    pose: Any = Poser()
    (found,) = RGBHRNet(Many(), pose, "hrnet-test", "w1", TellsTurns(1)).detect([frame()])
    assert [len(found.people), len(found.low_confidence)] == [1, 4]


def test_detections_in_depth_maps_are_added():
    pose: Any = Poser()
    depth = InDepth()
    seen = RGBHRNet(Finder(), pose, "hrnet-test", "w1", depth).detect(
        [frame(order=0), frame(step=300, order=1), frame(order=2)]
    )
    assert depth.asked == [0, 1, 2]
    assert [len(found.low_confidence) for found in seen] == [2, 2, 2]
    assert [len(found.people) for found in seen] == [1, 1, 1]
