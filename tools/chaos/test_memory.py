"""The check finds memory that grows, and passes memory that does not."""

from __future__ import annotations

import random

from tools.chaos.fleet import Sample
from tools.chaos.memory import MAX_SLOPE, as_csv, check_memory, measure


def life(name: str, start: float, slope: float, minutes: float = 5.0, child: bool = True) -> list[Sample]:
    """Return samples of a process: it fills up in its first half minute, then grows by `slope` a minute."""
    noise = random.Random(name)
    return [
        Sample(name, child, age, min(start, 20 * age) + slope * age / 60 + noise.uniform(-1, 1))
        for age in range(0, int(60 * minutes), 5)
    ]


def test_the_slope_is_that_of_all_processes_whatever_their_sizes():
    found = measure([*life("a", 600, 5), *life("b", 300, 5)])
    assert found is not None
    assert abs(found.slope - 5) < 0.5
    assert (found.processes, round(found.minutes), round(found.peak / 10)) == (2, 7, 63)


def test_flat_memory_is_well_and_growing_memory_is_not():
    flat, grows = life("a", 600, 0), life("b", 600, 5 * MAX_SLOPE)
    assert check_memory(flat, child=True).faults == ()
    assert check_memory(grows, child=True).faults != ()
    # Parents and children are checked separately.
    assert check_memory([*flat, *life("c", 90, 5 * MAX_SLOPE, child=False)], child=True).faults == ()


def test_one_that_grew_at_once_is_found_among_many_that_did_not():
    samples = [sample for name in "abcdefgh" for sample in life(name, 600, 0)]
    leaky = [Sample("leaky", True, age, 600 + (100 if age > 200 else 0)) for age in range(0, 300, 5)]
    assert check_memory([*samples, *leaky], child=True).faults != ()


def test_short_lives_give_no_verdict():
    assert check_memory(life("a", 600, 50, minutes=1.8), child=True).found == "none lived for long enough"
    check = check_memory(life("a", 600, 50, minutes=2.7), child=True)
    assert check.faults == ()
    assert check.found.startswith("too short to tell")


def test_samples_are_kept_as_a_table():
    assert as_csv([Sample("a:1", True, 2.0, 3.25)]) == "process,child,age_s,mib\na:1,1,2.0,3.2\n"
