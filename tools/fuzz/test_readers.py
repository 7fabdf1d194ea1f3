"""Inputs that once found a fault find none, nor do a few thousand others. `make fuzz` runs a million."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.fuzz.examine import examine, kept_inputs
from tools.fuzz.mutations import make_input
from tools.fuzz.targets import TOKENS, Target
from tools.fuzz.worker_targets import TARGETS

SHORT = 200


@pytest.fixture(autouse=True)
def a_warning_is_a_fault() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def name_of(value: object) -> str:
    return str(getattr(value, "name", value))


@pytest.mark.parametrize(
    ("target", "path"), [(TARGETS[name], path) for name, path in kept_inputs()], ids=name_of
)
def test_an_input_that_found_something_finds_nothing_now(target: Target, path: Path):
    data = path.read_bytes()
    examine(target, data)  # libraries load and cache now, so that the input does not pay for it
    assert examine(target, data).fault is None
    assert examine(target, data, traced=True).fault is None


@pytest.mark.parametrize("target", TARGETS.values(), ids=name_of)
def test_every_reader_takes_its_seeds(target: Target):
    # Otherwise the first check might refuse all inputs made from them, and nothing would be tested.
    kinds = []
    for seed in target.seeds:
        rng = random.Random(0)
        # Some packings have false headers.
        packed = [seed.data if seed.pack is None else seed.pack(rng, seed.data) for _ in range(8)]
        kinds.append({examine(target, data).kind for data in packed})
    assert sum("taken" in each for each in kinds) >= 0.5 * len(kinds)


@pytest.mark.parametrize("target", TARGETS.values(), ids=name_of)
def test_a_changed_input_is_taken_or_refused_as_it_should_be(target: Target):
    faults = {}
    for number in range(SHORT):
        data = make_input(random.Random(f"short/{number}"), target.seeds, TOKENS)
        faults[number] = examine(target, data, traced=number % 10 == 0).fault
    assert {number: fault for number, fault in faults.items() if fault} == {}


@settings(max_examples=15 * len(TARGETS), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_an_invented_input_is_taken_or_refused_as_it_should_be(data: st.DataObject):
    target = TARGETS[data.draw(st.sampled_from(sorted(TARGETS)))]
    assert examine(target, data.draw(target.strategy)).fault is None
