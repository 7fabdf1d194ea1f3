"""Weights are checked before they are used, whoever wrote the file."""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import pose.weights.checkpoint
from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS
from pose.weights.checkpoint import read_checkpoint, read_pth, stated_input_size
from pose.weights.convert import hrnet_state
from tests.support.published import THIN, as_mmpose, as_trained_on_several, same, thin_state, write_pth
from tests.support.tiny import FACTS, save_weights

SECRET = "person-1622182020448"


def test_written_weights_can_be_read(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", {"a": torch.arange(6.0).reshape(2, 3)})
    checkpoint = read_checkpoint(path)
    assert checkpoint.facts == FACTS
    assert torch.equal(checkpoint.tensors["a"], torch.arange(6.0).reshape(2, 3))
    assert read_checkpoint(str(path)).facts == FACTS


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InvalidWeights, match=r"weights w\.safetensors: there is no such file"):
        read_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("data", [b"", b"not weights at all", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        read_checkpoint(path)


def test_an_error_quotes_a_file_in_one_short_line(tmp_path):
    header = json.dumps(
        {"\n\x1b[31m" + "a" * 5000: {"dtype": "U8", "shape": [1], "data_offsets": [5, 6]}}
    ).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"12")
    with pytest.raises(InvalidWeights, match="not a safetensors file") as refused:
        read_checkpoint(path)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


@pytest.mark.parametrize("kept", [10, 200, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = save_weights(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        read_checkpoint(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = save_weights(tmp_path / "w.safetensors")
    with pytest.raises(InvalidWeights, match="expected at most 1000"):
        read_checkpoint(path, max_bytes=1000)


@pytest.mark.parametrize("fact", FACTS)
def test_a_header_with_a_missing_fact_is_refused(tmp_path, fact):
    facts = {name: value for name, value in FACTS.items() if name != fact}
    with pytest.raises(InvalidWeights, match=f"header without {fact}"):
        read_checkpoint(save_weights(tmp_path / "w.safetensors", facts=facts))


def test_no_error_contains_a_path(tmp_path, monkeypatch):
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

    monkeypatch.setattr(pose.weights.checkpoint, "safe_open", fail)
    with pytest.raises(InvalidWeights, match=r"weights w\.safetensors: cannot be read") as refused:
        read_checkpoint(whole)
    assert SECRET not in str(refused.value)


# What others publish: files of torch.save.


@pytest.fixture
def thin(monkeypatch):
    """In w32's place a network of its width whose weights are written in milliseconds."""
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    return thin_state()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("rename", [dict, as_mmpose, as_trained_on_several])
@pytest.mark.parametrize("wrapped", [True, False])
def test_checkpoints_of_both_namings_and_formats_load_exactly(tmp_path, thin, zipped, rename, wrapped):
    state = rename(thin)
    path = write_pth(
        tmp_path / "w.pth", {"state_dict": state, "meta": {"epoch": 1}} if wrapped else state, zipped
    )
    read, meta = read_pth(path)
    tensors, width = hrnet_state(read)
    assert same(tensors, thin)
    assert width == 32
    assert meta == ({"epoch": 1} if wrapped else {})


@pytest.mark.parametrize("zipped", [True, False])
def test_numpy_objects_in_meta_are_ignored(tmp_path, zipped):
    meta = {
        "cfg": "input_size=(288, 384)",
        "dataset_meta": {"sigmas": np.ones(17, np.float32), "flags": np.array([True]), "n": np.int64(3)},
        "best": np.float64(0.7),
    }
    path = write_pth(tmp_path / "w.pth", {"state_dict": {"a": torch.ones(2)}, "meta": meta}, zipped)
    state, read = read_pth(path)
    assert torch.equal(state["a"], torch.ones(2))
    assert read["cfg"] == meta["cfg"]
    assert not isinstance(read["best"], np.generic)


def test_names_of_numpy_1_are_known(tmp_path):
    content = {"state_dict": {"a": torch.ones(2)}, "meta": {"sigmas": np.ones(17), "n": np.float32(1)}}
    path = write_pth(tmp_path / "w.pth", content, zipped=False)
    assert b"numpy._core" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"numpy._core", b"numpy.core"))
    assert torch.equal(read_pth(path)[0]["a"], torch.ones(2))


def test_the_log_of_mmengine_is_ignored(tmp_path, monkeypatch):
    name = "mmengine.logging.history_buffer"

    def fill(self):
        self.values = np.arange(3.0)
        self.method = self.mean  # a bound method, as it has some

    buffer = type("HistoryBuffer", (), {"__module__": name, "__init__": fill, "mean": lambda self: 0.0})
    for module in ("mmengine", "mmengine.logging", name):
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(HistoryBuffer=buffer))
    content = {"state_dict": {"a": torch.ones(2)}, "message_hub": {"loss": buffer()}}
    path = write_pth(tmp_path / "w.pth", content)
    monkeypatch.delitem(sys.modules, name)
    assert torch.equal(read_pth(path)[0]["a"], torch.ones(2))


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["state_dict", "meta"])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, zipped, place):
    mark = tmp_path / "mark"
    path = tmp_path / "w.pth"
    for function, arguments, name in (
        (os.system, (f"touch {mark}",), "posix.system"),
        (eval, (f"open({str(mark)!r}, 'w')",), "eval"),
        (shutil.rmtree, (str(tmp_path),), "shutil.rmtree"),
    ):
        write_pth(
            path, {"state_dict": {"a": torch.ones(2)}} | {place: {"b": Evil(function, *arguments)}}, zipped
        )
        with pytest.raises(
            InvalidWeights, match=rf"w\.pth: refers to {name}, which does not belong in weights"
        ):
            read_pth(path)
        assert not mark.exists()


def test_the_replacement_of_getattr_returns_nothing(tmp_path):
    # os.system by a detour: getattr(torch, "…") is in a file what getattr is to a program.
    path = write_pth(tmp_path / "w.pth", {"a": torch.ones(2), "meta": Evil(getattr, torch.ones(1), "numpy")})
    with pytest.raises(InvalidWeights, match="not tensors: meta"):
        read_pth(path)


class Settings:
    """A class that no reader of weights knows."""


WEIGHTS = {"a": torch.ones(2), "b": torch.zeros(1)}
TRAINING = {"epoch": 7, "best": torch.tensor(0.7), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}


@pytest.mark.parametrize(
    "content",
    [
        *({key: WEIGHTS} for key in ("state_dict", "model_state_dict", "model", "net", "weights")),
        {"model": WEIGHTS, "model_ema": {"module.a": torch.zeros(2)}},
        {"model": "pose_hrnet", "state_dict": WEIGHTS, "best_state_dict": {"a": torch.zeros(2)}},
        {"model": {"state_dict": WEIGHTS}},
    ],
)
def test_the_state_dict_of_a_training_checkpoint_is_found(tmp_path, content):
    assert same(read_pth(write_pth(tmp_path / "w.pth", {**TRAINING, **content}))[0], WEIGHTS)


def test_one_of_several_unknown_state_dicts_is_not_chosen(tmp_path):
    path = write_pth(tmp_path / "w.pth", {"one": WEIGHTS, "two": WEIGHTS})
    with pytest.raises(InvalidWeights, match="not tensors: one, two"):
        read_pth(path)


def test_a_checkpoint_that_contains_itself_is_refused(tmp_path):
    endless: dict[str, object] = {}
    endless["model"] = endless
    with pytest.raises(InvalidWeights, match="not tensors: model"):
        read_pth(write_pth(tmp_path / "w.pth", endless))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_command_line_in_a_checkpoint_of_torchvisions_references_is_ignored(tmp_path, zipped):
    arguments = argparse.Namespace(model="fasterrcnn", lr=0.02, lr_steps=[16, 22], output_dir=Path("/out"))
    schedule = {"milestones": collections.Counter([16, 22]), "gamma": 0.1}
    content = {**TRAINING, "model": WEIGHTS, "lr_scheduler": schedule, "args": arguments, "scaler": {}}
    assert same(read_pth(write_pth(tmp_path / "w.pth", content, zipped))[0], WEIGHTS)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_inside_a_command_line_is_refused_too(tmp_path, zipped):
    mark = tmp_path / "mark"
    arguments = argparse.Namespace(evil=Evil(os.system, f"touch {mark}"))
    with pytest.raises(InvalidWeights, match=r"refers to posix\.system"):
        read_pth(write_pth(tmp_path / "w.pth", {"model": WEIGHTS, "args": arguments}, zipped))
    assert not mark.exists()


@pytest.mark.parametrize("content", [{"model": WEIGHTS, "cfg": Settings()}, torch.nn.Linear(1, 1)])
def test_a_refused_file_says_how_to_keep_only_its_weights(tmp_path, content):
    with pytest.raises(InvalidWeights, match=r"to keep only the weights, .*weights_only=False"):
        read_pth(write_pth(tmp_path / "w.pth", content))


def test_allowed_names_are_allowed_while_one_file_is_read(tmp_path):
    before = set(torch.serialization.get_safe_globals())  # torch lists a set, in any order
    read_pth(write_pth(tmp_path / "w.pth", {"a": torch.ones(2)}))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    "content",
    [[1, 2], "text", {}, {"state_dict": {}}, {"state_dict": None}, {"a": 1}, {1: torch.ones(2)},
     {"a": torch.ones(2).to_sparse()}, torch.ones(2)],
)  # fmt: skip
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    with pytest.raises(InvalidWeights, match=r"weights w\.pth: (contains no state dict|not tensors)"):
        read_pth(write_pth(tmp_path / "w.pth", content))


@pytest.mark.parametrize(
    "data", [b"", b"no weights", b"PK\x03\x04 no archive", b"\x80\x02}q\x00.", b"\xff" * 999]
)
def test_a_file_not_saved_by_torch_is_refused(tmp_path, data):
    path = tmp_path / "w.pth"
    path.write_bytes(data)
    with pytest.raises(InvalidWeights, match=r"weights w\.pth: "):
        read_pth(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_pth_is_refused(tmp_path, zipped):
    path = write_pth(tmp_path / "w.pth", {"a": torch.ones(5000)}, zipped)
    whole = path.read_bytes()
    for kept in (1, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:kept])
        with pytest.raises(InvalidWeights, match=r"not a file of torch\.save, or damaged"):
            read_pth(path)


def test_a_pth_that_is_missing_or_too_large_is_refused(tmp_path):
    with pytest.raises(InvalidWeights, match=r"none\.pth: there is no such file"):
        read_pth(tmp_path / "none.pth")
    with pytest.raises(InvalidWeights, match="expected at most 100"):
        read_pth(write_pth(tmp_path / "w.pth", {"a": torch.ones(500)}), max_bytes=100)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ("codec = dict(\n    type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64))", (192, 256)),
        ("dict(input_size=(288, 384)) … dict(input_size=( 288,384 ))", (288, 384)),
        ({"codec": {"type": "MSRAHeatmap", "input_size": (288, 384)}}, (288, 384)),
        ({"codec": {"input_size": [288, 384]}}, (288, 384)),
        ("input_size=(288, 384), input_size=(192, 256)", None),
        ("heatmap_size=(48, 64)", None),
        ("max_input_size=(48, 64)", None),
        (None, None),
    ],
)  # fmt: skip
def test_the_input_size_is_read_from_mmposes_config(config, size):
    assert stated_input_size({"cfg": config}) == size
    assert stated_input_size({}) is None
