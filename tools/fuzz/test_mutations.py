"""Inputs are reproducible, differ from their seeds, and pass checksums."""

from __future__ import annotations

import json
import random

import pytest

from pose.scan.pictures import decode_picture
from tools.fuzz import seeds
from tools.fuzz.mutations import MAX_INPUT, Seed, change_bytes, change_json, fix_png, make_input


def inputs(some: tuple[Seed, ...], count: int = 200) -> list[bytes]:
    return [make_input(random.Random(number), some, (b"token",)) for number in range(count)]


def test_an_input_is_a_function_of_its_seeds_and_its_number():
    assert inputs(seeds.DEPTHS) == inputs(seeds.DEPTHS)


@pytest.mark.parametrize("some", [seeds.HEADERS, seeds.MANIFESTS, seeds.PICTURES, seeds.ARCHIVES])
def test_inputs_differ_from_each_other_and_are_no_larger_than_may_be(some: tuple[Seed, ...]):
    made = inputs(some)
    assert len(set(made)) > 0.85 * len(made)
    assert max(map(len, made)) <= MAX_INPUT


def test_bytes_are_changed_whatever_they_are():
    for number in range(300):
        change_bytes(random.Random(number), b"", (b"", b"x"), (b"token",))
    changed = [change_bytes(random.Random(number), b"0.5 7") for number in range(300)]
    assert sum(each != b"0.5 7" for each in changed) > 250


def test_changed_json_is_json_still():
    record = seeds.as_json(seeds.record())
    changed = [change_json(random.Random(number), record) for number in range(300)]
    trees = [json.loads(each) for each in changed if b"[[[[" not in each]
    assert sum(tree != seeds.record() for tree in trees) > 250


def test_checksums_of_a_changed_png_fit_again():
    plain = seeds.picture(".png")
    at = plain.index(b"IHDR") + 17  # the checksum's first byte
    changed = plain[:at] + bytes((plain[at] ^ 1,)) + plain[at + 1 :]
    assert fix_png(random.Random(1), changed) == plain
    assert decode_picture(fix_png(random.Random(1), changed)).shape == (32, 48, 3)
