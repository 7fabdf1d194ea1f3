"""Which estimators a process gets, and that it gets them once."""

from __future__ import annotations

from typing import Any

import pytest

import pose
from pose.privacy.cascades import Cascades
from tests.support.estimators import FindsNobody
from worker.config.settings import read_settings
from worker.models import loading as model
from worker.models.loading import get_comparison_estimator, get_estimator, get_face_detector
from worker.models.out_of_memory import OutOfMemoryFallback


@pytest.fixture
def asked(monkeypatch) -> list[dict[str, Any]]:
    """What the library was asked for; it always has a model, and a pair."""
    calls: list[dict[str, Any]] = []

    def load(name, device, **options):
        calls.append({"name": name, "device": device, **options})
        return FindsNobody()

    monkeypatch.setattr(model, "_loaded", {})
    monkeypatch.setattr(pose, "load_estimator", load, raising=False)
    monkeypatch.setattr(pose, "load_pair", lambda *a, **o: (load(*a, **o), FindsNobody()), raising=False)
    return calls


def test_the_settings_reach_the_library(asked, tmp_path):
    settings = read_settings(
        model="hrnet-w32-256x192", device="cpu", detector="ssdlite320-mobilenet-v3-large", flip_test=True,
        batch_size=8, weights_url=str(tmp_path), runtime="torch",
        detect="sparse", precision="fp32",
    )  # fmt: skip
    get_estimator(settings)
    (call,) = asked
    assert call.pop("store").folder == tmp_path
    assert call == {
        "name": "hrnet-w32-256x192", "device": "cpu", "detector": "ssdlite320-mobilenet-v3-large",
        "flip_test": True, "batch_size": 8, "runtime": "torch", "detect": "sparse",
        "precision": "fp32",
    }  # fmt: skip


def test_a_model_is_loaded_once(asked):
    settings = read_settings(device="cpu")
    assert get_estimator(settings) is get_estimator(settings)
    assert len(asked) == 1


def test_other_settings_are_another_model(asked):
    assert get_estimator(read_settings(device="cpu")) is not get_estimator(read_settings(batch_size=3))


def test_without_both_there_is_no_comparison_estimator(asked):
    settings = read_settings()
    assert get_comparison_estimator(settings) is None
    assert asked == []  # nothing is loaded to tell


def test_both_are_loaded_at_once(asked):
    settings = read_settings(model="both")
    assert get_estimator(settings) is not get_comparison_estimator(settings)
    assert get_comparison_estimator(settings) is not None
    assert [call["name"] for call in asked] == ["both"]


def test_a_model_that_could_not_be_loaded_is_tried_again(asked, monkeypatch):
    def refuse(*_, **__):
        raise pose.InvalidWeights("not there")

    with monkeypatch.context() as patch:
        patch.setattr(pose, "load_estimator", refuse)
        with pytest.raises(pose.InvalidWeights):
            get_estimator(read_settings())
    assert get_estimator(read_settings()) is not None


def test_without_weights_the_embedded_model_is_what_auto_means(monkeypatch, tmp_path):
    monkeypatch.setattr(model, "_loaded", {})
    settings = read_settings(device="cpu", weights_url=str(tmp_path / "none"))
    assert get_estimator(settings).name == "depth-hrnet"
    assert not (tmp_path / "none").exists()


def test_a_model_whose_weights_are_not_there_is_not_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(model, "_loaded", {})
    for name in ("hrnet-w48-384x288", "both"):
        with pytest.raises(pose.InvalidWeights, match="pose weights pull hrnet-w48-384x288"):
            get_estimator(read_settings(model=name, device="cpu", weights_url=str(tmp_path)))


def test_the_face_detector_of_the_settings_is_loaded_once(monkeypatch, tmp_path):
    calls = []

    def load(name, store, runtime):
        calls.append((name, store.folder, runtime))
        return Cascades()

    monkeypatch.setattr(model, "_face_detectors", {})
    monkeypatch.setattr(pose, "load_face_detector", load)
    settings = read_settings(face_detector="haar", weights_url=str(tmp_path))
    assert get_face_detector(settings) is get_face_detector(settings)
    assert calls == [("haar", tmp_path, "auto")]


def test_yunet_without_weights_is_an_error(tmp_path):
    with pytest.raises(pose.InvalidWeights, match="pose weights pull yunet"):
        get_face_detector(read_settings(face_detector="yunet", weights_url=str(tmp_path)))


def test_the_cpu_replaces_a_gpu_without_its_precision(asked, monkeypatch):
    monkeypatch.setattr(model, "_loaded", {})
    fallback = get_estimator(read_settings(device="cuda", precision="fp16", oom_to_cpu=True))
    assert isinstance(fallback, OutOfMemoryFallback) and fallback._make_on_cpu
    fallback._make_on_cpu()
    assert [(call["device"], call["precision"]) for call in asked] == [("cuda", "fp16"), ("cpu", "auto")]
