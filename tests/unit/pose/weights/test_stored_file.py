"""The digest that is computed without torch is the one that the store writes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from pose.errors import InvalidWeights
from pose.weights.ingest import DIGEST, digest
from pose.weights.stored_file import check_digest


@pytest.fixture
def stored(tmp_path):
    tensors = {
        "b": torch.arange(7, dtype=torch.int64),
        "a": torch.linspace(0, 1, 12).reshape(3, 4),
        "c": torch.tensor(2.5),
        "d": torch.zeros(3, dtype=torch.uint8),
        "e": torch.ones(2, dtype=torch.bfloat16),
    }
    facts = {"name": "of tests", "version": "1"}
    path = tmp_path / "file.safetensors"
    save_file(tensors, path, {**facts, DIGEST: digest(tensors, facts)})
    return path


def test_a_file_that_is_as_it_was_written_is_right(stored):
    facts = check_digest(stored)
    assert (facts["name"], len(facts[DIGEST])) == ("of tests", 64)


def test_a_bit_that_changed_is_found(stored):
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    with pytest.raises(InvalidWeights, match="changed"):
        check_digest(stored)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-3],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"\xff" * 100,
        lambda data: (20).to_bytes(8, "little") + b'{"a": {"dtype": 3}} ',
        lambda data: (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_a_damaged_file_is_refused(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(InvalidWeights):
        check_digest(stored)
