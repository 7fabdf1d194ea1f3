"""The depth estimator: what it makes of heatmaps, and what it makes of weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from pose import Frame
from pose import keypoints as kp
from pose.errors import InvalidWeights
from pose.estimators.depth_hrnet import BODY_MAP, HEAD_MAP, MAPS, PERSON_SCORE, DepthHRNet
from pose.estimators.depth_input import INPUT_SIZE, STRIDE, input_to_picture
from pose.estimators.heatmap import draw_gaussians, pixels_to_cells
from pose.estimators.upright import TurnedFrame
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.orientation import turns_for_step
from pose.hrnet import VARIANTS
from pose.synthetic.render import render
from tests.support.tiny import FACTS, TINY, save_weights, tiny_network

PICTURE = (480, 360)
# A figure in pixels of the network's input, from its middle: COCO's keypoints, trunk, head.
FIGURE = np.array(
    [
        *((0, -60), (4, -64), (-4, -64), (8, -62), (-8, -62)),
        *((14, -40), (-14, -40), (18, -15), (-18, -15), (20, 8), (-20, 8)),
        *((9, 10), (-9, 10), (9, 40), (-9, 40), (9, 68), (-9, 68)),
        *((0, -15), (0, -61)),
    ],
    float,
)
MIDDLE = np.array([95.5, 111.5])


@pytest.fixture(autouse=True)
def tiny_variant(monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", TINY)


@pytest.fixture
def weights(tmp_path):
    return save_weights(tmp_path / "tiny.safetensors")


@pytest.fixture
def answering(weights):
    """answering(heatmap, …) → an estimator whose network gives these (19, 56, 48), and then nobody."""

    class Answering(DepthHRNet):
        answers: Iterator[torch.Tensor]

        def heatmaps(self, inputs):
            return torch.stack([next(self.answers, heat()) for _ in inputs])

    def make(*heatmaps, batch_size=16):
        estimator = Answering(weights, batch_size=batch_size)
        estimator.answers = iter(heatmaps)
        return estimator

    return make


def frame(step=100, depth=1.5, order=0, size=(240, 180)):
    """A frame of a level phone that is held as the step says."""
    width, height = size
    camera = Intrinsics(0.68 * width, 0.9 * height, 0.496 * width, 0.504 * height, width, height)
    values = np.broadcast_to(np.asarray(depth, np.float32), (height, width)).copy()
    picture = np.zeros((PICTURE[1], PICTURE[0], 3), np.uint8)
    angle = np.pi / 2 * turns_for_step(step)
    c, s = np.cos(angle), np.sin(angle)
    level = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return Frame(order, step, picture, DepthMap(values, None, camera, level, pose_known=True))


def heat(*people):
    """(19, 56, 48): what a network answers to these people, each points (19, 2) and scores (19,) or one."""
    size = INPUT_SIZE[0] // STRIDE, INPUT_SIZE[1] // STRIDE
    maps = torch.zeros(MAPS, *size)
    for points, scores in people:
        cells = torch.from_numpy(pixels_to_cells(points, STRIDE)).float()[None, None]
        drawn = draw_gaussians(cells, torch.ones(1, 1, MAPS, dtype=torch.bool), size)[0]
        height = torch.as_tensor(np.broadcast_to(scores, MAPS).copy()).float()
        maps = torch.maximum(
            maps, drawn / drawn.amax((1, 2), keepdim=True).clamp_min(1e-3) * height[:, None, None]
        )
    return maps


def in_picture(points, frame):
    depthmap = frame.depthmap
    there = input_to_picture(points, turns_for_step(frame.step), depthmap.width, depthmap.height)
    return frame.view.to_picture(there)


@pytest.mark.parametrize("step", [100, 200])
def test_a_persons_keypoints_are_given_in_pixels_of_the_picture(answering, step):
    shown, points = frame(step), MIDDLE + FIGURE
    ((person,),) = answering(heat((points, 0.9))).estimate([shown])
    assert person.keypoints == pytest.approx(in_picture(points, shown)[: kp.COUNT], abs=1.5)
    assert person.scores == pytest.approx(np.full(kp.COUNT, 0.9), abs=0.01)
    assert person.box_score == pytest.approx(0.9, abs=0.01)


def test_an_empty_heatmap_gives_nobody(answering):
    assert answering(heat()).estimate([frame()]) == [[]]


@pytest.mark.parametrize(("score", "found"), [(PERSON_SCORE + 0.02, 1), (PERSON_SCORE - 0.02, 0)])
def test_a_trunk_below_the_limit_is_nobody(answering, score, found):
    scores = np.full(MAPS, 0.9)
    scores[BODY_MAP], scores[HEAD_MAP] = score, 0.0
    (people,) = answering(heat((MIDDLE + FIGURE, scores))).estimate([frame()])
    assert len(people) == found


def test_two_people_have_their_own_joints_and_the_higher_score_comes_first(answering):
    left, right = MIDDLE + FIGURE - (38, 0), MIDDLE + FIGURE + (38, 5)
    shown = frame()
    (people,) = answering(heat((left, 0.7), (right, 0.9))).estimate([shown])
    assert [person.box_score for person in people] == pytest.approx([0.9, 0.7], abs=0.02)
    for person, points in zip(people, (right, left), strict=True):
        assert person.keypoints == pytest.approx(in_picture(points, shown)[: kp.COUNT], abs=2)


def depth_with_a_nearer_right_half(hole=None):
    """Upright, the input's right half is nearer; a clockwise turn brings the sensor's top row there."""
    upright = np.full((240, 180), 2.0)
    upright[:, 90:] = 1.0
    if hole is not None:
        column, row = ((hole + 0.5) * (180 / INPUT_SIZE[1], 240 / INPUT_SIZE[0])).astype(int)
        upright[row - 6 : row + 6, column - 6 : column + 6] = 0
    return np.rot90(upright)


def crossed_wrists():
    """Two people; the right wrist of the one on the right, who is nearer, is stretched out to the other."""
    left, right = MIDDLE + FIGURE - (36, 0), MIDDLE + FIGURE + (36, 0)
    right[kp.RIGHT_WRIST] = (100.0, 97.0)
    left[kp.RIGHT_WRIST] = (39.0, 119.0)
    return left, right


def test_depth_decides_to_whom_a_joint_between_two_people_belongs(answering):
    left, right = crossed_wrists()
    right[BODY_MAP] += (20, 0)  # in the picture alone, the wrist is nearer to the other's trunk
    shown = frame(depth=depth_with_a_nearer_right_half())
    (people,) = answering(heat((left, 0.7), (right, 0.9))).estimate([shown])
    expected = in_picture(right, shown)[kp.RIGHT_WRIST]
    assert people[0].keypoints[kp.RIGHT_WRIST] == pytest.approx(expected, abs=2)


def test_a_joint_without_depth_belongs_to_the_nearer_person_in_the_picture(answering):
    left, right = MIDDLE + FIGURE - (36, 0), MIDDLE + FIGURE + (36, 0)
    scores = np.full(MAPS, 0.9)
    scores[kp.LEFT_ANKLE] = 0
    shown = frame(depth=depth_with_a_nearer_right_half(hole=left[kp.LEFT_ANKLE]))
    (people,) = answering(heat((left, 0.7), (right, scores))).estimate([shown])
    assert people[1].scores[kp.LEFT_ANKLE] == pytest.approx(0.7, abs=0.02)
    assert people[1].keypoints[kp.LEFT_ANKLE] == pytest.approx(in_picture(left, shown)[kp.LEFT_ANKLE], abs=2)
    assert people[0].scores[kp.LEFT_ANKLE] == 0


def test_a_joint_of_one_of_two_people_is_not_given_to_both(answering):
    left, right = MIDDLE + FIGURE - (38, 0), MIDDLE + FIGURE + (38, 0)
    scores = np.full(MAPS, 0.7)
    scores[[kp.LEFT_WRIST, kp.RIGHT_ANKLE]] = 0
    (people,) = answering(heat((left, scores), (right, 0.9))).estimate([frame()])
    assert people[1].scores[[kp.LEFT_WRIST, kp.RIGHT_ANKLE]].tolist() == [0, 0]
    assert np.delete(people[1].scores, [kp.LEFT_WRIST, kp.RIGHT_ANKLE]).min() > 0.6


def only_a_head(score):
    scores = np.zeros(MAPS)
    scores[[*kp.HEAD, HEAD_MAP]] = score
    return scores


def test_a_head_without_a_trunk_is_a_person_who_must_be_covered(answering):
    points, shown = MIDDLE + FIGURE + (0, 30), frame()
    ((person,),) = answering(heat((points, only_a_head(0.8)))).estimate([shown])
    head, rest = list(kp.HEAD), [i for i in range(kp.COUNT) if i not in kp.HEAD]
    assert person.box_score == pytest.approx(0.8, abs=0.02)
    assert person.keypoints[head] == pytest.approx(in_picture(points, shown)[head], abs=2)
    assert (person.scores[head] > 0.7).all()
    assert (person.scores[rest] == 0).all()
    middle = in_picture(points, shown)[HEAD_MAP]
    assert person.keypoints[rest] == pytest.approx(np.tile(middle, (len(rest), 1)), abs=2)


def test_a_weak_head_without_a_trunk_is_nobody(answering):
    assert answering(heat((MIDDLE + FIGURE, only_a_head(0.45)))).estimate([frame()]) == [[]]


def test_a_second_head_far_from_the_first_is_a_second_person(answering):
    child, other = MIDDLE + FIGURE - (30, 0), MIDDLE + FIGURE + (40, 20)
    (people,) = answering(heat((child, 0.8), (other, only_a_head(0.7)))).estimate([frame()])
    assert [person.box_score for person in people] == pytest.approx([0.8, 0.7], abs=0.02)
    near = child.copy()
    near[HEAD_MAP] += (15, 0)  # the same head, seen twice
    (people,) = answering(heat((child, 0.8), (near, only_a_head(0.7)))).estimate([frame()])
    assert len(people) == 1


def test_a_head_with_a_higher_score_than_a_trunk_comes_first(answering):
    child, other = MIDDLE + FIGURE - (30, 0), MIDDLE + FIGURE + (40, 20)
    scores = np.full(MAPS, 0.9)
    scores[BODY_MAP] = 0.4
    (people,) = answering(heat((child, scores), (other, only_a_head(0.7)))).estimate([frame()])
    assert [person.box_score for person in people] == pytest.approx([0.7, 0.4], abs=0.02)


@pytest.mark.parametrize("step", [100, 200])
@pytest.mark.parametrize("offset", [(0, 0), (-80, 0), (75, -90), (0, 120)])
def test_boxes_lie_inside_the_picture(answering, step, offset):
    points = np.clip(MIDDLE + FIGURE + offset, -0.5, (INPUT_SIZE[1] - 0.5, INPUT_SIZE[0] - 0.5))
    ((person,),) = answering(heat((points, 0.9))).estimate([frame(step)])
    x0, y0, x1, y1 = person.box
    assert 0 <= x0 < x1 <= PICTURE[0] - 1
    assert 0 <= y0 < y1 <= PICTURE[1] - 1


def test_a_box_holds_all_keypoints_that_were_found(answering):
    scores = np.full(MAPS, 0.9)
    scores[kp.LEFT_WRIST] = 0.0
    ((person,),) = answering(heat((MIDDLE + FIGURE * 0.8, scores))).estimate([frame()])
    x0, y0, x1, y1 = person.box
    u, v = np.delete(person.keypoints, kp.LEFT_WRIST, axis=0).T
    assert ((u > x0) & (u < x1) & (v > y0) & (v < y1)).all()


def test_people_belong_to_their_frames_in_batches_of_any_size(answering):
    answers = [heat((MIDDLE + FIGURE, 0.9)), heat(), heat((MIDDLE + FIGURE - (10, 0), 0.6))]
    frames = [frame(order=i) for i in range(3)]
    for batch_size in (1, 2, 16):
        found = answering(*answers, batch_size=batch_size).estimate(frames)
        assert [[round(person.box_score, 1) for person in people] for people in found] == [[0.9], [], [0.6]]


def test_the_batch_size_does_not_change_the_result(weights):
    estimator = DepthHRNet(weights)
    frames = [Frame(0, 100, np.zeros((9, 12, 3), np.uint8), render(i, "standing").depthmap) for i in range(4)]
    inputs = np.stack([estimator.network_input(TurnedFrame(shown, 1)) for shown in frames])
    together = estimator.heatmaps(inputs)
    alone = torch.cat([estimator.heatmaps(inputs[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.shape == (4, MAPS, 56, 48)


def test_a_mirrored_input_gives_the_mirrored_result(weights):
    estimator = DepthHRNet(weights)
    inputs = np.random.default_rng(0).standard_normal((1, 3, *INPUT_SIZE)).astype(np.float32)
    mirrored = estimator.heatmaps(inputs[..., ::-1].copy())
    order = [*kp.MIRRORED, BODY_MAP, HEAD_MAP]
    assert torch.allclose(mirrored, estimator.heatmaps(inputs).flip(-1)[:, order], atol=1e-5)


def test_no_frames_give_no_results(weights):
    assert DepthHRNet(weights).estimate([]) == []


def test_name_and_version_are_those_of_the_weights(weights):
    estimator = DepthHRNet(weights)
    assert (estimator.name, estimator.version) == (FACTS["name"], FACTS["version"])


def test_weights_in_half_precision_are_accepted(tmp_path, weights):
    half = {name: v.half() if v.is_floating_point() else v for name, v in tiny_network().state_dict().items()}
    inputs = np.random.default_rng(0).standard_normal((1, 3, *INPUT_SIZE)).astype(np.float32)
    answer = DepthHRNet(save_weights(tmp_path / "half.safetensors", half)).heatmaps(inputs)
    assert torch.allclose(answer, DepthHRNet(weights).heatmaps(inputs), atol=0.02)


def test_weights_of_another_network_are_refused(tmp_path):
    state = tiny_network().state_dict()
    missing = {name: value for name, value in state.items() if name != "bn2.bias"}
    reshaped = {**state, "final_layer.bias": torch.zeros(17)}
    for tensors, problem in (
        (missing, r"Missing key.*bn2\.bias"),
        ({**state, "head.weight": torch.zeros(1)}, r"Unexpected key.*head\.weight"),
        (reshaped, r"size mismatch for final_layer\.bias"),
    ):
        with pytest.raises(InvalidWeights, match=rf"(?s)weights of depth-hrnet: .*{problem}"):
            DepthHRNet(save_weights(tmp_path / "other.safetensors", tensors))


def test_weights_of_an_unknown_variant_are_refused(tmp_path):
    path = save_weights(tmp_path / "other.safetensors", facts={**FACTS, "variant": "w64"})
    with pytest.raises(InvalidWeights, match="unknown HRNet variant 'w64'"):
        DepthHRNet(path)


def test_a_batch_holds_at_least_one_frame(weights):
    with pytest.raises(ValueError, match="batch_size is 0"):
        DepthHRNet(weights, batch_size=0)


def test_every_possible_head_is_a_low_confidence_detection(answering):
    child, other, shown = MIDDLE + FIGURE - (30, 0), MIDDLE + FIGURE + (40, 20), frame()
    (found,) = answering(heat((child, 0.8), (other, only_a_head(0.15)))).detect([shown])
    assert len(found.people) == 1
    heads = [in_picture(points, shown)[HEAD_MAP] for points in (child, other)]
    assert len(found.low_confidence) == 2
    for head, at, score in zip(found.low_confidence, heads, (0.8, 0.15), strict=True):
        assert head.keypoints == pytest.approx(np.tile(at, (kp.COUNT, 1)), abs=3)
        assert head.scores[list(kp.HEAD)] == pytest.approx(score, abs=0.02)
        assert (head.scores[5:] == 0).all()
        assert head.box[0] < at[0] < head.box[2] and head.box[1] < at[1] < head.box[3]


def test_a_head_with_a_very_low_score_is_no_detection(answering):
    (found,) = answering(heat((MIDDLE + FIGURE, only_a_head(0.03)))).detect([frame()])
    assert (found.people, found.low_confidence) == ([], [])
