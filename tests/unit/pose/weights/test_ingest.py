"""Files of weights by their path: told by their hash, and brought to one form."""

from __future__ import annotations

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS
from pose.weights import ingest as originals
from pose.weights.ingest import onnx_bytes, read_weights_file
from tests.support.published import THIN, as_mmpose, publish, same, thin_state, write_pth

NAME = "hrnet-w32-256x192"
CONFIG = "codec = dict(type='MSRAHeatmap', input_size=({}, {}), sigma=2)"


@pytest.fixture(autouse=True)
def _thin(monkeypatch):
    monkeypatch.setitem(VARIANTS, "w32", THIN)


def of_mmpose(path, size=(192, 256)):
    return write_pth(path, {"state_dict": as_mmpose(thin_state()), "meta": {"cfg": CONFIG.format(*size)}})


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_own_file_is_read(tmp_path):
    path = of_mmpose(tmp_path / "mine.pth")
    checkpoint = read_weights_file(path)
    assert same(checkpoint.tensors, thin_state())
    assert checkpoint.facts == {
        "name": NAME,
        "version": f"own-{sha256_of(path)[:8]}",
        "variant": "w32",
        "kind": "hrnet",
        "naming": "authors",
        "input_size": "192x256",
        "source_file": "mine.pth",
        "source_sha256": sha256_of(path),
        "source_size": str(path.stat().st_size),
    }


def test_safetensors_of_either_naming_are_read_too(tmp_path):
    for number, state in enumerate((thin_state(), as_mmpose(thin_state()))):
        path = tmp_path / f"mine{number}.safetensors"
        save_file(state, path)
        assert same(read_weights_file(path, NAME).tensors, thin_state())


def test_the_bytes_of_a_file_tell_its_format_not_its_name(tmp_path):
    save_file(thin_state(), tmp_path / "mine.pth")
    assert same(read_weights_file(tmp_path / "mine.pth", NAME).tensors, thin_state())


def test_a_published_file_is_recognised_by_its_hash(tmp_path, monkeypatch):
    path = write_pth(tmp_path / "renamed.pth", thin_state())
    publish(monkeypatch, NAME, path)
    facts = read_weights_file(path, own=False).facts
    assert facts["version"] == sha256_of(path)[:8]
    assert facts["name"] == NAME
    assert facts["input_size"] == "192x256"


def test_a_file_that_is_not_published_is_read_only_on_request(tmp_path, monkeypatch):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"never read")
    monkeypatch.setattr(originals, "read_pth", lambda path: pytest.fail("it was read"))
    with pytest.raises(
        InvalidWeights, match=rf"mine\.pth: no published file has the SHA-256 {sha256_of(path)}; .* --own"
    ):
        read_weights_file(path, NAME, own=False)


def test_a_file_published_for_another_model_is_refused(tmp_path, monkeypatch):
    path = write_pth(tmp_path / "w.pth", thin_state())
    publish(monkeypatch, NAME, path)
    for own in (False, True):
        with pytest.raises(InvalidWeights, match=f"this file is {NAME}, expected hrnet-w32-384x288"):
            read_weights_file(path, "hrnet-w32-384x288", own=own)


def test_another_width_is_refused(tmp_path):
    path = write_pth(tmp_path / "w.pth", thin_state())
    with pytest.raises(InvalidWeights, match=r"w\.pth: an HRNet of width 32, expected 48 for hrnet-w48"):
        read_weights_file(path, "hrnet-w48-256x192")


def test_another_input_size_is_refused(tmp_path):
    path = of_mmpose(tmp_path / "w.pth", (288, 384))
    with pytest.raises(InvalidWeights, match=rf"input of 288x384 .*, expected 192x256 for {NAME}"):
        read_weights_file(path, NAME)
    assert read_weights_file(path, "hrnet-w32-384x288").facts["input_size"] == "288x384"


@pytest.mark.parametrize(
    ("file", "size", "name"),
    [
        ("pose_hrnet_w32_256x192.pth", "192x256", NAME),
        ("mine-384x288-8xb32.pth", "288x384", "hrnet-w32-384x288"),
        ("mine_128x96.pth", "96x128", "hrnet-w32"),
        ("mine.pth", None, "hrnet-w32"),
    ],
)
def test_without_mmposes_meta_the_file_name_tells_the_input_size(tmp_path, file, size, name):
    facts = read_weights_file(write_pth(tmp_path / file, thin_state())).facts
    assert facts.get("input_size") == size
    assert facts["name"] == name


def test_the_meta_of_a_file_counts_more_than_its_name(tmp_path):
    path = of_mmpose(tmp_path / "mine_384x288.pth", (192, 256))
    assert read_weights_file(path).facts["input_size"] == "192x256"


def test_an_unknown_input_size_is_that_of_the_requested_model(tmp_path):
    path = write_pth(tmp_path / "mine.pth", thin_state())
    assert read_weights_file(path, "hrnet-w32-384x288").facts["input_size"] == "288x384"


def test_an_error_inside_a_file_names_the_file(tmp_path):
    path = write_pth(tmp_path / "mine.pth", {**thin_state(), "extra": torch.ones(1)})
    with pytest.raises(InvalidWeights, match=r"^weights mine\.pth: tensors not of .* \(1\): extra$"):
        read_weights_file(path)


def test_an_hrnet_is_no_detector(tmp_path):
    path = write_pth(tmp_path / "mine.pth", thin_state())
    with pytest.raises(InvalidWeights, match="tensors"):
        read_weights_file(path, "ssdlite320-mobilenet-v3-large")


def test_a_missing_file_and_an_unknown_name_are_refused(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(InvalidWeights, match="there is no such file"):
            read_weights_file(path)
    with pytest.raises(ValueError, match="unknown weights 'hrnet-w64'"):
        read_weights_file(tmp_path / "none.pth", "hrnet-w64")


@pytest.mark.parametrize("data", [b"", b"1234567", b"12345678{", b"12345678{}"])
def test_a_file_of_a_few_bytes_is_refused(tmp_path, data):
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(InvalidWeights, match=r"weights w\.pth"):
        read_weights_file(tmp_path / "w.pth")


def test_the_digest_covers_every_byte_name_and_fact():
    state, facts = {"a": torch.arange(4.0), "b": torch.ones(())}, {"name": "x", "version": "1"}
    whole = originals.digest(state, facts)
    assert originals.digest(dict(reversed(state.items())), {**facts, "digest": "any"}) == whole
    changed = [
        ({**state, "a": torch.tensor([0.0, 1.0, 2.0, 4.0])}, facts),
        ({**state, "a": state["a"].reshape(2, 2)}, facts),
        ({**state, "a": state["a"].double()}, facts),
        ({"a": state["a"], "c": state["b"]}, facts),
        ({"a": state["a"]}, facts),
        (state, {**facts, "version": "2"}),
        (state, {"name": "x"}),
    ]
    assert whole not in {originals.digest(*each) for each in changed}
    assert len({originals.digest(*each) for each in changed}) == len(changed)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ebafce4e\nsize 229738\n"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("file, name", [("face_detection_yunet_2026may.onnx", "yunet"), ("mine.pth", NAME)])
def test_a_git_lfs_pointer_is_told_by_its_name(tmp_path, file, name, own):
    (tmp_path / file).write_bytes(POINTER)
    with pytest.raises(InvalidWeights, match=f"{file}: a Git LFS pointer"):
        read_weights_file(tmp_path / file, name, own=own)


def test_a_face_detector_is_the_published_file_byte_by_byte(tmp_path, monkeypatch):
    file = tmp_path / "face.onnx"
    file.write_bytes(b"bytes of a network")
    with pytest.raises(InvalidWeights, match="no published file has the SHA-256"):
        read_weights_file(file, "yunet", own=False)
    with pytest.raises(InvalidWeights, match="expected the published file of yunet"):
        read_weights_file(file, "yunet")
    publish(monkeypatch, "yunet", file)
    checkpoint = read_weights_file(file, "yunet", own=False)
    assert onnx_bytes(checkpoint) == b"bytes of a network"
    assert checkpoint.facts["version"] == sha256_of(file)[:8]
    assert (checkpoint.facts["kind"], checkpoint.facts["naming"]) == ("face", "onnx")


def test_a_stored_face_detector_with_other_bytes_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "face.onnx"
    file.write_bytes(b"bytes of a network")
    publish(monkeypatch, "yunet", file)
    checkpoint = read_weights_file(file, "yunet")
    tensors = {"onnx": torch.zeros(18, dtype=torch.uint8)}
    facts = {**checkpoint.facts, "digest": originals.digest(tensors, checkpoint.facts)}
    save_file(tensors, tmp_path / "forged.safetensors", facts)
    with pytest.raises(InvalidWeights, match="does not hold the published ONNX file"):
        read_weights_file(tmp_path / "forged.safetensors", "yunet")
