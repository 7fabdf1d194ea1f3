"""OpenVINO gives the keypoints of torch, and a file that it kept is never trusted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pose.checks import kind_of
from pose.detectors import build_detector
from pose.errors import InvalidWeights, RuntimeUnavailable
from pose.estimators import loading, runtime
from pose.estimators.converted_detector import convert_detector
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.loading import choose_runtime, load_estimator
from pose.estimators.runtime import FOLDER, Converted, runtime_version
from pose.estimators.topdown import TopDown
from pose.hrnet import HRNet, Variant, build_hrnet
from pose.weights.checkpoint import read_safetensors
from pose.weights.store import WeightsStore, write_tensors
from tests.support import tiny  # noqa: F401 - one thread
from tests.support.rendered import rendered

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra cpu")

SMALL = Variant(8, modules=(1, 1, 1), blocks=1, stem=8, layer1=(8, 1))


def network(seed: int = 0) -> HRNet:
    """A small HRNet with batch norms that have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = build_hrnet(SMALL)
        for each in made.modules():
            if isinstance(each, torch.nn.BatchNorm2d):
                assert each.running_var is not None and each.running_mean is not None
                each.running_var.uniform_(0.5, 2)
                each.running_mean.normal_(0, 0.1)
    return made.eval()


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> tuple[Path, Path]:
    """A folder with a converted network, and its file."""
    folder = tmp_path_factory.mktemp("weights")
    Converted(network(), 3, "small", folder)
    (file,) = (folder / FOLDER).iterdir()
    return folder, file


@pytest.fixture
def conversions(monkeypatch) -> list[str]:
    """A list that grows with each conversion."""
    done: list[str] = []
    convert = runtime._convert

    def noted(network, example):
        done.append(kind_of(network))
        return convert(network, example)

    monkeypatch.setattr(runtime, "_convert", noted)
    return done


def test_keypoints_are_those_of_torch_at_any_input_size(converted):
    folder, _ = converted
    pictures = [np.random.default_rng(1).integers(0, 256, (300, 240, 3), np.uint8)]
    boxes = [np.array([(20.0, 10, 150, 280), (100, 50, 230, 180)])]
    for size in ((96, 128), (192, 256)):
        ours, theirs = (
            TopDown(network(), input_size=size, runtime=name, converted_in=folder).predict(pictures, boxes)
            for name in ("openvino", "torch")
        )
        assert (theirs[0][1] > 0).mean() > 0.5  # a heatmap that is nowhere above 0 has its maximum at 0, 0
        np.testing.assert_allclose(ours[0][0], theirs[0][0], atol=0.05)
        np.testing.assert_allclose(ours[0][1], theirs[0][1], atol=1e-5)


def test_the_embedded_model_finds_the_same_keypoints(tmp_path):
    frames = [rendered(1, "standing").frame, rendered(2, "lying").frame]
    ours, theirs = (DepthHRNet(runtime=name, converted_in=tmp_path) for name in ("openvino", "torch"))
    assert ours.runtime == runtime_version("openvino")
    assert ours.runtime.startswith("openvino 20") and theirs.runtime == "torch 2.15.0"
    for mine, its in zip(ours.estimate(frames), theirs.estimate(frames), strict=True):
        assert len(mine) == len(its) > 0
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.05)
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


def test_a_detector_gives_the_same_features_and_proposals():
    name = "fasterrcnn-mobilenet-v3-large-fpn"
    own, theirs = (build_detector(name).eval() for _ in range(2))
    own.load_state_dict(theirs.state_dict())
    convert_detector(own, name, None)
    picture = torch.rand(1, 3, 160, 224)
    with torch.inference_mode():
        ours, expected = own.backbone(picture), theirs.backbone(picture)  # type: ignore[operator]
        assert list(ours) == list(expected)
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-4)
        heads = [each.rpn.head(list(expected.values())) for each in (own, theirs)]  # type: ignore[union-attr,operator]
        torch.testing.assert_close(heads[0], heads[1], rtol=1e-4, atol=1e-5)


def test_a_converted_network_is_kept_beside_the_weights_and_read_again(converted, conversions):
    folder, file = converted
    before = file.read_bytes()
    Converted(network(), 3, "small", folder)
    assert conversions == []
    assert file.read_bytes() == before


def test_other_weights_replace_a_kept_network(tmp_path):
    for seed in (0, 1):
        Converted(network(seed), 3, "small", tmp_path)
        (file,) = (tmp_path / FOLDER).iterdir()
    assert [each.name for each in (tmp_path / FOLDER).iterdir()] == [file.name]


def _cut(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def _change_a_byte(file: Path, _: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def _no_text(file: Path, _: Path) -> None:
    file.write_bytes(b"not a file of weights")


def _without_a_digest(file: Path, _: Path) -> None:
    read = read_safetensors(file)
    save_file(read.tensors, file, {"key": read.facts["key"]})


def _of_another_network(file: Path, folder: Path) -> None:
    """A whole file with a right digest and key whose content is another network."""
    Converted(network(5), 3, "other", folder)
    (other,) = (folder / FOLDER).glob("other-*")
    facts = {"key": read_safetensors(file).facts["key"]}
    tensors = read_safetensors(other).tensors
    write_tensors(file, tensors, facts | {runtime.DIGEST: runtime.digest(tensors, facts)})


@pytest.mark.parametrize(
    "spoil",
    [_cut, _change_a_byte, _no_text, _without_a_digest, _of_another_network],
    ids=lambda f: f.__name__,
)
def test_a_damaged_or_exchanged_file_is_converted_again(converted, tmp_path, conversions, spoil):
    _, good = converted
    file = tmp_path / FOLDER / good.name
    file.parent.mkdir()
    file.write_bytes(good.read_bytes())
    spoil(file, tmp_path)
    conversions.clear()
    made = Converted(network(), 3, "small", tmp_path)
    assert conversions == ["HRNet"]
    inputs = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(made(inputs)[0], network()(inputs), rtol=1e-4, atol=1e-4)
    assert Converted(network(), 3, "small", tmp_path) and conversions == ["HRNet"]  # the new file is good


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, conversions):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    Converted(network(), 3, "small", blocked)
    assert conversions == ["HRNet"]


def test_a_conversion_that_computes_something_else_is_an_error(monkeypatch):
    other = runtime._convert(network(7), torch.rand(1, 3, 64, 64))
    monkeypatch.setattr(runtime, "_convert", lambda *_: other)
    with pytest.raises(InvalidWeights, match="disagree: choose the runtime torch"):
        Converted(network(), 3, "small")


def test_openvino_does_not_report_to_its_makers():
    runtime_version("openvino")
    assert sys.modules["openvino_telemetry"] is None
    assert "openvino" in sys.modules


@pytest.mark.parametrize(
    ("asked", "device", "installed", "chosen"),
    [
        ("auto", "cpu", True, "openvino"),
        ("auto", "cpu", False, "torch"),
        ("auto", "cuda", True, "torch"),
        ("torch", "cpu", True, "torch"),
        ("torch", "cuda:1", False, "torch"),
        ("openvino", "cpu", True, "openvino"),
    ],
)
def test_auto_is_openvino_where_it_is_installed_and_runs_on_the_cpu(
    monkeypatch, asked, device, installed, chosen
):
    monkeypatch.setattr(loading, "has_openvino", lambda: installed)
    assert choose_runtime(asked, device) == chosen


def test_a_runtime_that_cannot_be_had_is_an_error(monkeypatch):
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'pose-worker\[cpu\]'"):
        choose_runtime("openvino", "cpu")
    monkeypatch.setattr(loading, "has_openvino", lambda: True)
    with pytest.raises(ValueError, match="runs on the device cpu, not on cuda:0"):
        choose_runtime("openvino", "cuda:0")
    with pytest.raises(ValueError, match="runtime is 'onnx', expected one of auto, torch, openvino"):
        choose_runtime("onnx", "cpu")


def test_an_estimator_keeps_its_network_beside_the_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "has_openvino", lambda: True)
    found = load_estimator("depth-hrnet", "cpu", store=WeightsStore(tmp_path))
    assert found.runtime == runtime_version("openvino")
    assert [each.name[:12] for each in (tmp_path / FOLDER).iterdir()] == ["depth-hrnet-"]
