"""State dicts of others: two namings, and nothing missing, too much, or of another shape."""

from __future__ import annotations

import re

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from pose.detectors import build_detector
from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS, build_hrnet
from pose.weights.checkpoint import read_pth
from pose.weights.convert import detector_state, hrnet_state
from tests.support.published import THIN, as_mmpose, as_trained_on_several, same, thin_state, write_pth


@pytest.fixture
def thin(monkeypatch):
    """In w32's place a network of its width whose weights are written in milliseconds."""
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    return thin_state()


@pytest.mark.parametrize("width", [32, 48])
def test_the_published_sizes_load_too(width):
    with torch.device("meta"):
        published = build_hrnet(f"w{width}").state_dict()
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in published.items()}
    tensors, found = hrnet_state(as_mmpose(state))
    assert found == width
    assert same(tensors, state)


def test_converted_weights_load_into_the_network_strictly(thin):
    build_hrnet("w32").load_state_dict(hrnet_state(as_mmpose(thin))[0], strict=True)


@pytest.mark.parametrize(
    ("rename", "place"), [(dict, ""), (as_mmpose, "backbone."), (as_trained_on_several, "module.")]
)
def test_a_missing_tensor_is_named_as_in_the_file(thin, rename, place):
    state = rename({name: value for name, value in thin.items() if name != "layer1.0.bn2.weight"})
    with pytest.raises(InvalidWeights, match=rf"tensors missing \(1\): {place}layer1\.0\.bn2\.weight$"):
        hrnet_state(state)


LEADS = ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.module."]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("rename", [dict, as_mmpose])
def test_prefixes_of_wrappers_around_an_hrnet_are_dropped(thin, lead, rename):
    state = {lead + name: value for name, value in rename(thin).items()}
    assert same(hrnet_state(state)[0], thin)
    del state[next(name for name in state if name.endswith("layer1.0.bn2.weight"))]
    with pytest.raises(InvalidWeights, match=rf"missing \(1\): {re.escape(lead)}.*layer1\.0\.bn2\.weight$"):
        hrnet_state(state)


@pytest.mark.parametrize("wrapper", ["module", "_orig_mod"])
def test_prefixes_of_wrappers_around_a_part_of_an_hrnet_are_dropped(thin, wrapper):
    state = {name.replace("stage3.", f"stage3.{wrapper}."): value for name, value in thin.items()}
    assert state.keys() != thin.keys()
    assert same(hrnet_state(state)[0], thin)
    averaged = {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in thin.items()}}
    assert same(hrnet_state(averaged)[0], thin)


def test_the_names_of_mmpose_0_are_known(thin):
    state = {
        name.replace("head.", "keypoint_head.") if name.startswith("head.") else name: value
        for name, value in as_mmpose(thin).items()
    }
    assert same(hrnet_state(state)[0], thin)


def test_two_tensors_for_one_place_are_refused(thin):
    with pytest.raises(InvalidWeights, match=r"two tensors for one place: conv1\.weight, module\.conv1"):
        hrnet_state({**thin, "module.conv1.weight": thin["conv1.weight"]})


def test_a_missing_tensor_of_the_head_is_named_as_in_mmpose(thin):
    state = as_mmpose({name: value for name, value in thin.items() if name != "final_layer.bias"})
    with pytest.raises(InvalidWeights, match=r"tensors missing \(1\): head\.final_layer\.bias$"):
        hrnet_state(state)


@pytest.mark.parametrize("name", ["extra.weight", "head.deconv_layers.0.weight", "backbone.extra"])
@pytest.mark.parametrize("rename", [dict, as_mmpose])
def test_an_unknown_tensor_is_named(thin, name, rename):
    with pytest.raises(InvalidWeights, match=r"tensors not of this network \(1\)"):
        hrnet_state({**rename(thin), name: torch.ones(1)})


def test_a_tensor_of_another_shape_is_named(thin):
    wrong = {**thin, "final_layer.weight": torch.ones(16, 32, 1, 1), "final_layer.bias": torch.ones(16)}
    expected = (
        r"another shape \(2\): head\.final_layer\.weight is \(16, 32, 1, 1\), expected \(17, 32, 1, 1\);"
    )
    with pytest.raises(InvalidWeights, match=expected):
        hrnet_state(as_mmpose(wrong))


def test_the_first_of_many_wrong_tensors_are_named_and_all_are_counted(thin):
    few = {name: value for name, value in thin.items() if not name.startswith("stage4")}
    count = sum(name.startswith("stage4") and not name.endswith("tracked") for name in thin)
    with pytest.raises(InvalidWeights, match=rf"missing \({count}\): stage4.* and {count - 5} more$"):
        hrnet_state(few)


def test_counters_of_training_may_be_missing(thin):
    state = {name: value for name, value in thin.items() if not name.endswith("num_batches_tracked")}
    tensors, _ = hrnet_state(state)
    assert tensors.keys() == thin.keys()
    assert same({name: tensors[name] for name in state}, state)


def test_all_tensors_may_be_of_half_precision_with_the_counters(thin):
    state = {name: value.half() for name, value in thin.items()}
    tensors, _ = hrnet_state(state)
    assert tensors.keys() == thin.keys()
    for name, tensor in tensors.items():
        counter = name.endswith("num_batches_tracked")
        assert tensor.dtype == (torch.int64 if counter else torch.float16)
        assert counter or torch.equal(tensor, state[name])


def test_an_hrnet_of_another_width_is_refused():
    with pytest.raises(InvalidWeights, match="width 18, expected 32 or 48"):
        hrnet_state({"final_layer.weight": torch.ones(17, 18, 1, 1)})
    with pytest.raises(InvalidWeights, match=r"there is no final_layer\.weight"):
        hrnet_state({"fc.weight": torch.ones(2)})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(thin, value):
    thin["bn1.bias"][1] = value
    with pytest.raises(InvalidWeights, match=r"bn1\.bias holds numbers that are not finite"):
        hrnet_state(thin)


def test_integers_in_place_of_weights_are_refused(thin):
    with pytest.raises(InvalidWeights, match=r"bn1\.bias holds int64"):
        hrnet_state({**thin, "bn1.bias": thin["bn1.bias"].long()})


def test_half_precision_is_kept(thin):
    half = {name: value.half() if value.is_floating_point() else value for name, value in thin.items()}
    assert same(hrnet_state(half)[0], half)


DETECTOR = "fasterrcnn-mobilenet-v3-large-320-fpn"


@pytest.fixture(scope="module")
def detector():
    return build_detector(DETECTOR).state_dict()


def test_a_detectors_weights_load_bit_by_bit(tmp_path, detector):
    state, _ = read_pth(write_pth(tmp_path / "w.pth", detector))
    assert same(detector_state(state, DETECTOR), detector)


@pytest.mark.parametrize("zipped", [True, False])
def test_old_names_of_torchvision_are_converted_to_the_present_ones(tmp_path, detector, zipped):
    # torchvision 0.3 to 0.12: no list of layers in the pyramid and in the proposals' head.
    old = {
        re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name).replace(
            "conv.0.0.", "conv."
        ): value
        for name, value in detector.items()
    }
    assert sum(name not in detector for name in old) == 10
    state, _ = read_pth(write_pth(tmp_path / "w.pth", old, zipped))
    assert same(detector_state(state, DETECTOR), detector)


@pytest.mark.parametrize("lead", LEADS)
def test_prefixes_of_wrappers_around_a_detector_are_dropped(detector, lead):
    state = {lead + name: value for name, value in detector.items()}
    # Without versions of its modules a file's names are renamed as old ones, and those fit as they are.
    assert same(detector_state(state, DETECTOR), detector)
    name = "roi_heads.box_predictor.cls_score.weight"
    with pytest.raises(InvalidWeights, match=rf"another shape \(1\): {re.escape(lead + name)} is"):
        detector_state({**state, lead + name: torch.ones(2, 1024)}, DETECTOR)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.compile, AveragedModel])
def test_a_wrapped_detector_keeps_the_versions_of_its_modules(tmp_path, wrap):
    network = build_detector(DETECTOR)
    state, _ = read_pth(write_pth(tmp_path / "w.pth", {"model": wrap(network).state_dict()}))
    assert same(detector_state(state, DETECTOR), network.state_dict())


def test_a_detector_with_a_compiled_backbone_is_read(detector):
    state = {name.replace("backbone.", "backbone._orig_mod.", 1): value for name, value in detector.items()}
    assert same(detector_state(state, DETECTOR), detector)


def test_counters_of_frozen_norms_are_dropped(detector):
    extra = {**detector, "backbone.body.0.1.num_batches_tracked": torch.tensor(7)}
    assert "backbone.body.0.1.running_mean" in detector
    assert same(detector_state(extra, DETECTOR), detector)


def test_weights_of_another_detector_are_refused(detector):
    with pytest.raises(InvalidWeights, match=r"tensors (missing|not of this network|of another shape)"):
        detector_state(detector, "ssdlite320-mobilenet-v3-large")
    name = "roi_heads.box_predictor.cls_score.weight"
    with pytest.raises(
        InvalidWeights, match=rf"another shape \(1\): {name} is \(2, 1024\), expected \(91, 1024\)"
    ):
        detector_state({**detector, name: torch.ones(2, 1024)}, DETECTOR)
    with pytest.raises(InvalidWeights, match=rf"missing \(1\): {name}"):
        detector_state({key: value for key, value in detector.items() if key != name}, DETECTOR)
