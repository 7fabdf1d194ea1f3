"""The whole way from a box to its keypoints, against each step of the published method written out here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from pose import keypoints as kp
from pose.errors import InvalidWeights
from pose.estimators.topdown import TopDown, input_size_of
from pose.hrnet import HRNet, Variant, build_hrnet
from pose.weights.checkpoint import Checkpoint
from pose.weights.ingest import read_weights_file
from tests.support import tiny  # noqa: F401 - one thread

SIZE = (192, 256)
SMALL = (96, 128)
# Left and right, pair by pair, as COCO numbers them.
PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)]


def random_network(network: HRNet, seed: int = 0) -> HRNet:
    """With weights as varied as trained ones have them, batch norms included."""
    random = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=random)
        elif value.ndim == 1 and value.is_floating_point():
            value.normal_(0, 0.1, generator=random)
            if ".bn" in name and name.endswith("weight"):
                value.add_(1)
        elif value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=random)
    network.eval()
    with torch.no_grad():  # heatmaps about as high as trained ones
        network.final_layer.weight /= network(torch.randn(1, 3, 128, 96, generator=random)).abs().max()
    return network


@pytest.fixture(scope="module")
def network() -> HRNet:
    return random_network(build_hrnet(Variant(8, modules=(1, 1, 1), blocks=1, stem=8, layer1=(8, 1))))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        cv2.GaussianBlur(random.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2)
        for size in ((300, 400), (240, 180), (50, 60))
    ]


BOXES = [
    np.array([(20.3, 10.7, 150.2, 280.9), (200, 100, 390, 180), (-40, 50, 90, 420)]),
    np.zeros((0, 4)),
    np.array([(3.0, 2.0, 55.5, 47.25)]),
]


def published_keypoints(network, picture, box, size, flip):
    """One person's keypoints (17, 2) and scores (17,)."""
    x0, y0, x1, y1 = box
    width = max(x1 - x0, (y1 - y0) * 0.75) * 1.25
    cx, cy, (w, h) = (x0 + x1) / 2, (y0 + y1) / 2, size
    here = np.array([(cx, cy), (cx, cy - width / 2), (cx - width / 2, cy - width / 2)], np.float32)
    there = np.array([(w / 2, h / 2), (w / 2, h / 2 - w / 2), (0, h / 2 - w / 2)], np.float32)
    crop = cv2.warpAffine(picture, cv2.getAffineTransform(here, there), (w, h), flags=cv2.INTER_LINEAR)
    mean, deviation = np.array([(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)], np.float32)
    normal = (crop.astype(np.float32) / np.float32(255) - mean) / deviation
    tensor = torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None]))
    with torch.no_grad():
        heat = network(tensor)[0].numpy()
        if flip:
            mirror = network(torch.from_numpy(tensor.numpy()[..., ::-1].copy()))[0].numpy()[..., ::-1].copy()
            for left, right in PAIRS:
                mirror[[left, right]] = mirror[[right, left]]
            mirror = np.concatenate([mirror[..., :1], mirror[..., :-1]], axis=-1)
            heat = (heat + mirror) / 2
    points, rows, columns = np.zeros((17, 2)), h // 4, w // 4
    for k, one in enumerate(heat):
        y, x = np.unravel_index(one.argmax(), one.shape)
        if one.max() > 0:
            points[k] = x, y
            if 1 < x < columns - 1 and 1 < y < rows - 1:
                points[k] += 0.25 * np.sign([one[y, x + 1] - one[y, x - 1], one[y + 1, x] - one[y - 1, x]])
    back = cv2.getAffineTransform(there / 4, here)
    return points @ back[:, :2].T + back[:, 2], heat.max(axis=(1, 2))


@pytest.mark.parametrize("flip", [False, True])
def test_keypoints_are_those_of_the_published_method(network, pictures, flip):
    # One by one: beyond the picture's edge a crop is its own mirror image, so that two cells of a flip test
    # may be equally high, and a network's last bits depend on the size of the batch.
    found = TopDown(network, input_size=SIZE, flip_test=flip, batch_size=1).predict(pictures, BOXES)
    assert [len(points) for points, _ in found] == [3, 0, 1]
    for picture, boxes, (points, scores) in zip(pictures, BOXES, found, strict=True):
        for i, box in enumerate(boxes):
            expected, expected_scores = published_keypoints(network, picture, box, SIZE, flip)
            assert points[i] == pytest.approx(expected, abs=1e-4)
            assert scores[i] == pytest.approx(expected_scores, abs=1e-5)


def test_w32_as_published_agrees_too_and_its_state_dict_loads(pictures):
    reference = random_network(build_hrnet("w32"), seed=3)
    ours = TopDown(reference.state_dict(), 32, SIZE, flip_test=True)
    ((points, scores),) = ours.predict(pictures[:1], [BOXES[0][:1]])
    expected, expected_scores = published_keypoints(reference, pictures[0], BOXES[0][0], SIZE, True)
    assert points[0] == pytest.approx(expected, abs=1e-4)
    assert scores[0] == pytest.approx(expected_scores, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_the_batches_of_crops_do_not_change_the_result(network, pictures, batch_size):
    sizes = []

    def counted(inputs):
        sizes.append(len(inputs))
        return network(inputs)

    found = TopDown(counted, input_size=SMALL, batch_size=batch_size).predict(pictures, BOXES)
    alone = TopDown(network, input_size=SMALL, batch_size=1)
    for picture, boxes, (points, scores) in zip(pictures, BOXES, found, strict=True):
        for i, box in enumerate(boxes):
            ((expected, expected_scores),) = alone.predict([picture], [box])
            assert points[i] == pytest.approx(expected[0], abs=1e-6)
            assert scores[i] == pytest.approx(expected_scores[0], abs=1e-5)
    assert sizes == {1: [1, 1, 1, 1], 2: [2, 2], 32: [4]}[batch_size]


def test_the_flip_test_swaps_left_and_right_and_shifts_by_one_cell(network):
    inputs = torch.randn(2, 3, 128, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        plain, mirror = network(inputs), network(inputs.flip(-1))
    heat = TopDown(network, input_size=SMALL, flip_test=True).heatmaps(inputs)
    for k in range(kp.COUNT):
        other = next((b if a == k else a for a, b in PAIRS if k in (a, b)), k)
        back = mirror[:, other].flip(-1)
        assert torch.allclose(heat[..., 1:][:, k], (plain[:, k, :, 1:] + back[..., :-1]) / 2, atol=1e-5)
        assert torch.allclose(heat[:, k, :, 0], (plain[:, k, :, 0] + back[..., 0]) / 2, atol=1e-5)


def test_the_networks_input_is_rgb_less_imagenets_mean_by_its_deviation():
    crops = [np.full((128, 96, 3), (255, 0, 51), np.uint8), np.full((128, 96, 3), (0, 255, 102), np.uint8)]
    tensor = TopDown(lambda x: x, input_size=SMALL).network_input(torch.from_numpy(np.stack(crops)))
    assert tensor.shape == (2, 3, 128, 96) and tensor.dtype == torch.float32
    assert tensor[0, :, 5, 7].tolist() == pytest.approx([0.515 / 0.229, -0.456 / 0.224, -0.206 / 0.225])
    assert tensor[1, :, 5, 7].tolist() == pytest.approx(
        [-0.485 / 0.229, 0.544 / 0.224, -0.006 / 0.225], rel=1e-5
    )


def test_the_network_runs_in_evaluation_mode_and_in_full_precision():
    seen = []

    class Watched(nn.Module):
        def forward(self, inputs):
            seen.append((self.training, torch.backends.cudnn.allow_tf32, torch.is_inference_mode_enabled()))
            return inputs.new_zeros(len(inputs), 17, 32, 24)

    before = torch.backends.cudnn.allow_tf32
    TopDown(Watched().train(), input_size=SMALL).predict([np.zeros((50, 50, 3), np.uint8)], [(1, 1, 20, 40)])
    assert seen == [(False, False, True)]
    assert torch.backends.cudnn.allow_tf32 == before


def test_without_boxes_the_network_is_not_run():
    def never(inputs):
        raise AssertionError("the network was run")

    found = TopDown(never, input_size=SMALL).predict(
        [np.zeros((9, 9, 3), np.uint8)] * 2, [[], np.zeros((0, 4))]
    )
    assert [(points.shape, scores.shape) for points, scores in found] == [((0, 17, 2), (0, 17))] * 2
    assert TopDown(never, input_size=SMALL).predict([], []) == []


def test_scores_are_the_unchanged_maxima():
    heat = torch.full((1, 17, 32, 24), -0.5)
    heat[:, 3, 10, 10] = 1.25
    found = TopDown(lambda _: heat, input_size=SMALL).predict(
        [np.zeros((50, 50, 3), np.uint8)], [(1, 1, 20, 40)]
    )
    assert found[0][1][0, :4].tolist() == [-0.5, -0.5, -0.5, 1.25]


def test_weights_of_another_width_or_network_are_refused():
    state = build_hrnet("w32").state_dict()
    with pytest.raises(InvalidWeights, match="width 32, expected 48"):
        TopDown(state, 48, SIZE)
    missing = {name: value for name, value in state.items() if name != "stage2.0.branches.0.0.conv1.weight"}
    with pytest.raises(InvalidWeights, match=r"stage2\.0\.branches\.0\.0\.conv1\.weight"):
        TopDown(missing, 32, SIZE)
    with pytest.raises(InvalidWeights, match="extra"):
        TopDown(state | {"extra": torch.zeros(1)}, 32, SIZE)


def test_a_file_of_the_authors_gives_the_same_heatmaps_as_their_network(tmp_path):
    reference = random_network(build_hrnet("w32"))
    torch.save(reference.state_dict(), tmp_path / "mine_256x192.pth")
    checkpoint = read_weights_file(tmp_path / "mine_256x192.pth")
    inputs = torch.randn(1, 3, 256, 192, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(TopDown(checkpoint).heatmaps(inputs), reference(inputs))


def test_the_input_size_is_read_from_the_facts_as_width_by_height():
    assert input_size_of(Checkpoint({}, {"input_size": "288x384"})) == (288, 384)
    for text in ("", "288", "288x", "x384", "288x384x3"):
        with pytest.raises(InvalidWeights, match="input size is unknown"):
            input_size_of(Checkpoint({}, {"input_size": text}))


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"input_size": (0, 32)}, {"input_size": (190, 256)}, {"input_size": (32, 16)}],
)
def test_invalid_batch_and_input_sizes_are_refused(options):
    with pytest.raises(ValueError, match=r"batch_size|input size"):
        TopDown(lambda x: x, **{"input_size": SMALL, **options})


def test_the_numbers_of_pictures_and_of_arrays_of_boxes_must_be_equal():
    with pytest.raises(ValueError, match="1 pictures and 2 arrays"):
        TopDown(lambda x: x, input_size=SMALL).predict([np.zeros((9, 9, 3), np.uint8)], [[], []])
