"""The registry of published weights."""

from __future__ import annotations

import re

import pytest
from torchvision.models.detection.faster_rcnn import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
)
from torchvision.models.detection.ssdlite import SSDLite320_MobileNet_V3_Large_Weights

from pose.hrnet import VARIANTS
from pose.weights.registry import (
    DEFAULT_DETECTOR,
    DEFAULT_POSE,
    DETECTORS,
    POSE_MODELS,
    REGISTRY,
    find_published,
    first_published,
)

TORCHVISION = {
    "fasterrcnn-resnet50-fpn": FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    "fasterrcnn-mobilenet-v3-large-fpn": FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    "fasterrcnn-mobilenet-v3-large-320-fpn": FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    "ssdlite320-mobilenet-v3-large": SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
}
ALL = [each for files in REGISTRY.values() for each in files]


@pytest.mark.parametrize("name", TORCHVISION)
def test_detectors_are_torchvisions_own(name):
    (published,) = REGISTRY[name]
    theirs = TORCHVISION[name]
    assert published.url == theirs.url
    assert published.ap == pytest.approx(theirs.meta["_metrics"]["COCO-val2017"]["box_map"] / 100)
    if published.size is not None:
        assert published.size / 2**20 == pytest.approx(theirs.meta["_file_size"], abs=5e-4)


def test_each_detector_has_weights():
    assert set(DETECTORS) == set(TORCHVISION)


@pytest.mark.parametrize("published", ALL, ids=lambda each: each.file)
def test_a_hash_is_complete_or_the_digits_in_the_file_name(published):
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", published.sha256)
    if published.url is not None:
        assert published.url.startswith("https://")
        assert published.url.endswith(f"/{published.file}")
        assert published.sha256[:8] in published.file or published.kind == "face"


@pytest.mark.parametrize("name", POSE_MODELS)
def test_all_files_of_an_hrnet_are_for_one_network(name):
    for published in REGISTRY[name]:
        assert published.input_size is not None
        width, height = published.input_size
        assert name == f"hrnet-w{published.width}-{height}x{width}"
        assert f"w{published.width}" in VARIANTS
        assert f"{height}x{width}" in published.file and f"w{published.width}" in published.file


def test_models_are_in_the_order_of_their_precision():
    for names in (POSE_MODELS, DETECTORS):
        published = [REGISTRY[name][0].ap or 0 for name in names]
        assert published == sorted(published, reverse=True)
    assert (POSE_MODELS[0], DETECTORS[0]) == (DEFAULT_POSE, DEFAULT_DETECTOR)


def test_no_two_files_have_the_same_hash():
    assert len({each.sha256[:8] for each in ALL}) == len({each.file for each in ALL}) == len(ALL)


def test_a_file_is_found_by_the_known_digits_of_its_hash():
    known = "95e0fec3194826d5e3f806ea89be68bbb84517b114c3a32b3058c56610b5ef61"
    assert find_published(known) is REGISTRY["hrnet-w48-384x288"][1]
    assert find_published(known[:-1] + "0") is None
    assert find_published("c161b7de" + 56 * "0") is REGISTRY["hrnet-w48-384x288"][0]
    assert find_published(64 * "0") is None


def test_an_unknown_name_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"'hrnet-w64'.*hrnet-w48-384x288.*ssdlite320"):
        first_published("hrnet-w64")
