"""Weights are checked before they are used."""

from __future__ import annotations

import pytest
import torch

import pose.checkpoints
from pose.checkpoints import read_checkpoint
from pose.errors import InvalidWeights
from tests.tiny import FACTS, save_weights

SECRET = "person-1622182020448"


def test_what_was_written_is_read(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", {"a": torch.arange(6.0).reshape(2, 3)})
    checkpoint = read_checkpoint(path)
    assert checkpoint.facts == FACTS
    assert torch.equal(checkpoint.tensors["a"], torch.arange(6.0).reshape(2, 3))
    assert read_checkpoint(str(path)).facts == FACTS


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(InvalidWeights, match=r"weights w\.safetensors: there is no such file"):
        read_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("data", [b"", b"not weights at all", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [10, 200, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, kept):
    path = save_weights(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        read_checkpoint(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = save_weights(tmp_path / "w.safetensors")
    monkeypatch.setattr(pose.checkpoints, "MAX_BYTES", 1000)
    with pytest.raises(InvalidWeights, match="expected at most 1000"):
        read_checkpoint(path)


@pytest.mark.parametrize("fact", FACTS)
def test_a_header_that_tells_too_little_is_refused(tmp_path, fact):
    facts = {name: value for name, value in FACTS.items() if name != fact}
    with pytest.raises(InvalidWeights, match=f"header without {fact}"):
        read_checkpoint(save_weights(tmp_path / "w.safetensors", facts=facts))


def test_no_error_tells_a_path(tmp_path, monkeypatch):
    folder = tmp_path / SECRET
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"bad")
    whole = save_weights(folder / "w.safetensors")
    for path in (folder / "none.safetensors", folder, folder / "bad.safetensors"):
        with pytest.raises(InvalidWeights) as refused:
            read_checkpoint(path)
        assert SECRET not in str(refused.value).replace(path.name, "")

    def fail(path, framework):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pose.checkpoints, "safe_open", fail)
    with pytest.raises(InvalidWeights, match=r"weights w\.safetensors: cannot be read") as refused:
        read_checkpoint(whole)
    assert SECRET not in str(refused.value)
