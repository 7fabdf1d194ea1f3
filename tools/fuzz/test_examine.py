"""Each kind of fault in a reader is noticed, and nothing else counts as a fault."""

from __future__ import annotations

import warnings

import pytest

from tools.fuzz.examine import examine, kept_inputs
from tools.fuzz.faulty import ONE_OF_EACH
from tools.fuzz.worker_targets import TARGETS


@pytest.mark.parametrize(("data", "kind"), [(b"fine", "taken"), (b"refused", "InvalidScan")])
def test_an_input_may_be_taken_or_refused(data: bytes, kind: str):
    outcome = examine(ONE_OF_EACH, data)
    assert (outcome.kind, outcome.fault) == (kind, None)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"anything else", "KeyError at faulty.py"),
        (b"panic", "Panic at faulty.py"),
        (b"promise", "what was promised"),
        (b"warning", "RuntimeWarning"),
        (b"person", "a text that can be shown"),
        (b"lines", "a text that can be shown"),
        (b"time", "at most 1"),
    ],
)
def test_a_fault_is_noticed(data: bytes, fault: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = examine(ONE_OF_EACH, data)
    assert outcome.fault is not None and fault in outcome.fault


def test_memory_is_looked_at_where_that_is_asked_for():
    assert examine(ONE_OF_EACH, b"memory").fault is None
    outcome = examine(ONE_OF_EACH, b"memory", traced=True)
    assert outcome.kind == "memory" and outcome.mib is not None and outcome.mib >= 40


def test_what_was_kept_belongs_to_readers_that_there_are():
    assert kept_inputs()
    assert {name for name, _ in kept_inputs()} <= set(TARGETS)


def test_each_reader_has_its_share_of_the_inputs():
    assert sum(target.share for target in TARGETS.values()) == 1000
