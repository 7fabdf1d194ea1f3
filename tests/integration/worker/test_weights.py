"""What a worker brings into its cache before the first scan, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import pose.weights.sources
from pose import InvalidWeights
from pose.detectors import build_detector
from pose.errors import DownloadError, WeightsNotFound
from pose.hrnet import build_hrnet
from pose.weights.store import WeightsStore
from worker.config.settings import load_settings, read_settings
from worker.models.loading import get_estimator
from worker.models.weights import fetch_weights, open_store

BUCKET = "s3://bucket/weights"
W48, W32 = "hrnet-w48-384x288", "hrnet-w32-384x288"
DETECTOR = "fasterrcnn-resnet50-fpn"


class Bucket:
    """A place with weights of these names; notes what is asked for."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[str] = []

    def pull(self, name: str, store: WeightsStore, source: object) -> dict[str, str]:
        assert source is self
        self.asked.append(name)
        if name not in self.names:
            raise WeightsNotFound(f"{name}: not in the bucket")
        return {"version": "12345678"}


@pytest.fixture
def having(monkeypatch, tmp_path) -> Any:
    def made(*names: str) -> Bucket:
        found = Bucket(*names)
        monkeypatch.setattr(pose.weights.sources, "open_weights", lambda _: (WeightsStore(tmp_path), found))
        monkeypatch.setattr(pose.weights.sources, "pull", found.pull)
        return found

    return made


def fetch(model: str, face_detector: str = "haar", **values: Any) -> None:
    fetch_weights(read_settings(model=model, face_detector=face_detector, weights_url=BUCKET, **values))


@pytest.mark.parametrize("model", ["auto", W48])
def test_a_models_weights_come_with_its_detectors(having, model):
    place = having(W48, DETECTOR)
    fetch(model)
    assert place.asked == [W48, DETECTOR]


def test_the_detector_that_is_chosen_comes(having):
    place = having(W48, "ssdlite320-mobilenet-v3-large")
    fetch(W48, detector="ssdlite320-mobilenet-v3-large")
    assert place.asked == [W48, "ssdlite320-mobilenet-v3-large"]


def test_auto_does_without_weights_that_the_bucket_does_not_have(having):
    place = having(DETECTOR)
    fetch("auto")
    assert place.asked == [W48]


def test_both_take_the_best_that_there_is(having):
    place = having(W32, DETECTOR)
    fetch("both")
    assert place.asked == [W48, W32, DETECTOR]


@pytest.mark.parametrize(("model", "names"), [(W48, [DETECTOR]), (W48, [W48]), ("auto", [W48])])
def test_what_was_asked_for_by_name_must_be_there_and_so_must_the_detector(having, model, names):
    having(*names)
    with pytest.raises(WeightsNotFound):
        fetch(model)


def test_a_bucket_that_is_away_is_not_one_without_weights(having, monkeypatch):
    having(W48, DETECTOR)

    def away(*_: object) -> None:
        raise DownloadError("it is away")

    monkeypatch.setattr(pose.weights.sources, "pull", away)
    with pytest.raises(DownloadError, match="away"):
        fetch("auto")


@pytest.mark.parametrize("model", ["depth-hrnet", "hrnet-w1"])
def test_nothing_is_fetched_for_the_embedded_model_or_an_unknown_one(having, model):
    place = having(W48, DETECTOR)
    fetch(model)
    assert place.asked == []


@pytest.mark.parametrize("face_detector", ["auto", "yunet"])
@pytest.mark.parametrize("model, also", [("depth-hrnet", []), (W48, [W48, DETECTOR])])
def test_the_face_detectors_weights_come_first(having, model, also, face_detector):
    place = having("yunet", W48, DETECTOR)
    fetch(model, face_detector)
    assert place.asked == ["yunet", *also]


def test_a_bucket_without_the_face_detector_is_enough_for_auto_alone(having):
    place = having(W48, DETECTOR)
    fetch("auto", "auto")
    assert place.asked == ["yunet", W48, DETECTOR]
    with pytest.raises(WeightsNotFound):
        fetch("auto", "yunet")


@pytest.mark.parametrize("url", [None, "/srv/weights"])
def test_nothing_comes_from_the_public_network_unasked(monkeypatch, url):
    asked: list[object] = []
    monkeypatch.setattr(pose.weights.sources, "pull", lambda *args: asked.append(args))
    fetch_weights(read_settings(model=W48, weights_url=url))
    assert asked == []


def test_a_folder_is_the_store_itself_and_stays_as_it_is(tmp_path):
    settings = read_settings(model=W48, weights_url=str(tmp_path / "my weights"))
    store = open_store(settings)
    assert store.folder == tmp_path / "my weights"
    with pytest.raises(InvalidWeights, match="pose weights pull"):
        store.load(W48)
    assert list(tmp_path.iterdir()) == []


def test_without_a_url_the_store_is_the_users_cache():
    assert open_store(read_settings()).folder == WeightsStore().folder


@pytest.fixture
def own_settings() -> Iterator[None]:
    """The process reads its settings anew, and forgets them afterwards."""
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_weights_come_from_a_real_bucket_and_are_used_without_it(
    s3_path, s3_client, s3_server, own_settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    model, detector = "hrnet-w32-256x192", "ssdlite320-mobilenet-v3-large"
    made = WeightsStore(tmp_path / "made")
    bucket, _, prefix = s3_path.partition("/")
    for name, network in ((model, build_hrnet("w32")), (detector, build_detector(detector))):
        torch.save(network.state_dict(), tmp_path / "weights.pth")
        made.add(name, tmp_path / "weights.pth", own=True)
        s3_client.upload_file(str(made.path(name)), bucket, f"{prefix}/{name}.safetensors")
    settings = read_settings(model=model, detector=detector, device="cpu", weights_url=f"s3://{s3_path}")
    fetch_weights(settings)
    found = get_estimator(settings)
    assert (found.name, found.version.split("/")[0]) == (model, made.verify(model)["version"])
    s3_client.delete_object(Bucket=bucket, Key=f"{prefix}/{model}.safetensors")
    fetch_weights(settings)  # what is here is not asked for again
    with pytest.raises(WeightsNotFound, match="holds none of"):
        fetch_weights(read_settings(model=W48, weights_url=f"s3://{s3_path}"))
