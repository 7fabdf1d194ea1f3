"""Detectors give exactly torchvision's results; people are boxes with a high enough score."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum, detection
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FrozenBatchNorm2d

from pose.detectors import DETECTORS, build_detector
from pose.errors import InvalidWeights
from pose.estimators.detector import Detector
from pose.weights.checkpoint import Checkpoint
from tests.support import tiny  # noqa: F401 - one thread

PUBLISHED: dict[str, tuple[Callable[..., nn.Module], WeightsEnum]] = {
    "fasterrcnn-resnet50-fpn": (
        detection.fasterrcnn_resnet50_fpn,
        detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    ),
    "fasterrcnn-mobilenet-v3-large-fpn": (
        detection.fasterrcnn_mobilenet_v3_large_fpn,
        detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    ),
    "fasterrcnn-mobilenet-v3-large-320-fpn": (
        detection.fasterrcnn_mobilenet_v3_large_320_fpn,
        detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    ),
    "ssdlite320-mobilenet-v3-large": (
        detection.ssdlite320_mobilenet_v3_large,
        detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
    ),
}
TORCHS_OWN = set(vars(nn.Module()))  # attributes that every module has
CHEAPEST = "ssdlite320-mobilenet-v3-large"


@cache
def random_state(name: str) -> dict[str, Tensor]:
    """Weights that find something: a network with torch's initial weights has low scores only."""
    random = torch.Generator().manual_seed(0)
    state = {}
    with torch.random.fork_rng():
        torch.manual_seed(4)  # of what is left as torch begins with it
        fresh = build_detector(name)
    for key, value in fresh.state_dict().items():
        made = value.clone()
        if key.endswith("running_var"):
            made.uniform_(0.5, 2, generator=random)
        elif key.endswith(("running_mean", "bias")):
            made.normal_(0, 0.1, generator=random)
        elif made.ndim == 4:
            made.normal_(0, (2 / made[0].numel()) ** 0.5, generator=random)
        state[key] = made
    for key in state:
        if key.endswith("cls_score.weight"):
            state[key] *= 30
        if "classification_head" in key and key.endswith(".1.weight"):
            state[key] *= 3
    return state


def torchvisions(name: str, state: dict[str, Tensor]) -> nn.Module:
    """What torchvision's function makes of these weights, were they the published ones."""
    build, weights = PUBLISHED[name]
    with mock.patch.object(WeightsEnum, "get_state_dict", lambda *_, **__: state):
        return build(weights=weights, progress=False).eval()


def picture(size: tuple[int, int] = (48, 64), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def shrink(network: Any) -> None:
    """Pictures are brought to a few pixels only, for the sake of speed."""
    if not isinstance(network, SSD):
        network.transform.min_size, network.transform.max_size = (96,), 160


def test_there_is_a_detector_for_each_published_file():
    assert set(DETECTORS) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_detector_has_the_modules_of_torchvisions(name):
    ours, theirs = build_detector(name), torchvisions(name, random_state(name))
    assert repr(ours) == repr(theirs)

    def settings(network: nn.Module) -> list[tuple[str, str]]:
        """All numbers that are no tensors, of each module: eps, thresholds, sizes of anchors, …."""
        plain = (bool, int, float, str, tuple, list, dict, type(None))
        return [
            (f"{where}.{key}", repr(value))
            for where, module in network.named_modules()
            for part, owner in (
                (where, module),
                *((where, v) for v in vars(module).values() if _is_helper(v)),
            )
            for key, value in vars(owner).items()
            if isinstance(value, plain) and key not in TORCHS_OWN
        ]

    assert settings(ours) == settings(theirs)
    assert len(settings(ours)) > 100


def _is_helper(value: object) -> bool:
    """Box coders and matchers are no modules."""
    return type(value).__module__.startswith("torchvision.models.detection._utils")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_detector_gives_the_results_of_torchvisions(name):
    state = random_state(name)
    ours, theirs = build_detector(name), torchvisions(name, state)
    ours.load_state_dict(state)
    ours.eval()
    shrink(ours)
    shrink(theirs)
    image = torch.from_numpy(picture()).permute(2, 0, 1) / 255
    with torch.inference_mode():
        (mine,), (published,) = ours([image]), theirs([image])
    assert len(published["scores"]) > 0
    assert torch.equal(mine["labels"], published["labels"])
    for key in ("boxes", "scores"):  # the last bits depend on how threads share the sums
        torch.testing.assert_close(mine[key], published[key], rtol=1e-5, atol=1e-4)


def test_the_old_resnet_has_frozen_norms_without_an_epsilon_and_no_other_detector_has():
    for name in DETECTORS:
        found = {m.eps for m in build_detector(name).modules() if isinstance(m, FrozenBatchNorm2d)}
        assert found == {"fasterrcnn-resnet50-fpn": {0.0}, CHEAPEST: set()}.get(name, {1e-5})


class Answers(nn.Module):
    """Says what it is told to, and remembers what it was given."""

    def __init__(self, labels: list[int], scores: list[float]) -> None:
        super().__init__()
        self.labels, self.scores = torch.tensor(labels), torch.tensor(scores)
        self.given: list[list[Tensor]] = []

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        return None

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        assert not self.training
        self.given.append(images)
        boxes = torch.arange(len(self.labels))[:, None] + torch.tensor([0.0, 1.0, 10.0, 20.0])
        return [{"boxes": boxes, "labels": self.labels, "scores": self.scores} for _ in images]


@pytest.fixture
def detector(monkeypatch):
    """detector(labels, scores, …) → a detector whose network gives these answers, and the network."""

    def make(labels: list[int], scores: list[float], **options: Any) -> tuple[Detector, Answers]:
        network = Answers(labels, scores)
        monkeypatch.setitem(DETECTORS, CHEAPEST, lambda: network)
        return Detector({}, CHEAPEST, **options), network

    return make


def test_people_above_the_score_are_found_the_highest_score_first(detector):
    found_by, _ = detector([1, 2, 1, 1, 1, 1], [0.95, 0.99, 0.9, 0.98, 0.2, 0.91], min_score=0.9)
    ((boxes, scores),) = found_by.detect([picture()])
    # 0.9 in float32 is a little below 0.9.
    assert scores == pytest.approx([0.98, 0.95, 0.91])
    assert boxes[:, 0].tolist() == [3, 0, 5]
    assert boxes.dtype == scores.dtype == np.float64


def test_a_score_just_at_the_limit_is_not_above_it(detector):
    found_by, _ = detector([1, 1], [0.5, 0.5001], min_score=0.5)
    assert len(found_by.detect([picture()])[0][1]) == 1


def test_without_a_person_the_result_is_empty(detector):
    found_by, _ = detector([2, 1], [0.99, 0.3])
    ((boxes, scores),) = found_by.detect([picture()])
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_pictures_go_through_in_batches_of_one_size(detector):
    found_by, network = detector([1], [0.99], batch_size=2)
    sizes = [(20, 30), (30, 20), (20, 30), (20, 30), (30, 20)]
    found = found_by.detect([picture(size, seed) for seed, size in enumerate(sizes)])
    assert [len(scores) for _, scores in found] == [1] * 5
    assert [[tuple(image.shape[1:]) for image in images] for images in network.given] == [
        [(20, 30), (20, 30)],
        [(20, 30)],
        [(30, 20), (30, 20)],
    ]
    given = {tuple(image.flatten()[:9].tolist()) for images in network.given for image in images}
    assert len(given) == 5


def test_each_picture_gets_its_own_result_in_any_batch():
    state = random_state(CHEAPEST)
    pictures = [np.rot90(picture((40 + 20 * (i % 2), 60), seed=i), k=i) for i in range(5)]
    found = Detector(state, CHEAPEST, batch_size=2, min_score=0.02).detect(pictures)
    alone = Detector(state, CHEAPEST, batch_size=1, min_score=0.02)
    assert sum(len(scores) for _, scores in found) > 5
    for one, (boxes, scores) in zip(pictures, found, strict=True):
        ((expected, expected_scores),) = alone.detect([one])
        assert scores == pytest.approx(expected_scores, abs=1e-5)
        assert boxes == pytest.approx(expected, abs=1e-2)


def test_the_network_is_given_rgb_from_0_to_1_with_channels_first(detector):
    found_by, network = detector([1], [0.99])
    red = np.zeros((20, 30, 3), np.uint8)
    red[4, 7] = 255, 51, 0
    found_by.detect([red])
    image = network.given[0][0]
    assert image.shape == (3, 20, 30) and image.dtype == torch.float32
    assert image[:, 4, 7].tolist() == pytest.approx([1, 0.2, 0])
    assert image.sum() == pytest.approx(1.2)


def test_no_pictures_give_no_results(detector):
    assert detector([1], [0.99])[0].detect([]) == []


def test_name_and_version_are_those_of_the_weights(detector):
    assert detector([1], [0.9])[0].version == "own"
    known = Detector(Checkpoint({}, {"version": "258fb6c6"}), CHEAPEST)
    assert (known.name, known.version) == (CHEAPEST, "258fb6c6")


def test_weights_that_do_not_fit_are_refused():
    state = dict(random_state(CHEAPEST))
    gone = next(iter(state))
    with pytest.raises(InvalidWeights, match=gone.replace(".", r"\.")):
        Detector({key: value for key, value in state.items() if key != gone}, CHEAPEST)
    with pytest.raises(InvalidWeights, match="extra"):
        Detector(state | {"extra": torch.zeros(1)}, CHEAPEST)


def test_an_unknown_detector_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"'yolo'.*fasterrcnn-resnet50-fpn"):
        build_detector("yolo")


def test_a_batch_has_at_least_one_picture():
    with pytest.raises(ValueError, match="batch_size is 0"):
        Detector({}, CHEAPEST, batch_size=0)
