"""The run notices a reader that ends its process, hangs or uses up memory, and keeps the input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz.faulty import TARGETS, is_long
from tools.fuzz.process import Work, inputs_of, run_target

SEED = 3


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("_crash", "! crash", "ended with code -11"),
        ("_hang", "! crash", "hung"),
        ("_eat", "! MemoryError", "Unable to allocate"),
    ],
)
def test_an_input_that_a_reader_cannot_bear_is_kept(tmp_path: Path, name: str, kind: str, fault: str):
    made = [data for _, data in inputs_of(TARGETS[name], SEED, range(100))]
    first = next(number for number, data in enumerate(made) if is_long(data))
    count = first + 3  # it continues after the input that ended the process
    faults = sum(map(is_long, made[:count]))
    # As short as possible, but longer than a busy machine needs for the other inputs.
    hangs_after_s = 3 if name == "_hang" else 120
    work = Work(name, SEED, count, 0, tmp_path, module="tools.fuzz.faulty", hangs_after_s=hangs_after_s)
    tally = run_target(work)
    assert tally.kinds == {"taken": count - faults, kind: faults}
    assert tally.inputs == count
    (text,) = tally.faults.values()
    assert fault in text
    (kept,) = (tmp_path / name).iterdir()
    assert kept.read_bytes() == made[first]


def test_what_hypothesis_makes_is_counted_too(tmp_path: Path):
    tally = run_target(Work("_eat", SEED, 3, 5, tmp_path, module="tools.fuzz.faulty"))
    assert tally.inputs == 3 + tally.made_by_hypothesis
    assert 1 <= tally.made_by_hypothesis <= 5  # it stops when it finds no other inputs
    assert not tally.faults
