"""What a worker counts: in its parent at once, in a process until the parent takes it."""

from __future__ import annotations

import math

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker import counters
from worker.counters import MAX_KEPT, MAX_SERIES, METRICS, OTHER, REGISTRY, add, count, keep_for_parent, kept


@pytest.fixture(autouse=True)
def _parent(monkeypatch):
    """Each test leaves a process that counts for itself."""
    monkeypatch.setattr(counters._Kept, "counts", None)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_parent_counts_at_once():
    before = value("pose_verdicts_total", verdict="good")
    count("pose_verdicts", "good")
    assert value("pose_verdicts_total", verdict="good") == before + 1


def test_a_process_keeps_its_counts_for_the_parent():
    before = value("pose_verdicts_total", verdict="usable")
    keep_for_parent()
    count("pose_verdicts", "usable")
    assert value("pose_verdicts_total", verdict="usable") == before
    assert kept() == [("pose_verdicts", ["usable"], 1.0)]
    for _ in range(MAX_KEPT):
        count("pose_verdicts", "usable")
    assert len(kept()) == MAX_KEPT


def test_a_histogram_observes_and_a_gauge_is_set():
    before = value("pose_stage_seconds_count", stage="fetch")
    count("pose_stage_seconds", "fetch", value=0.2)
    assert value("pose_stage_seconds_count", stage="fetch") == before + 1
    for used in (5, 3):
        count("pose_gpu_memory_bytes", "cuda:0", "used", value=used)
    assert value("pose_gpu_memory_bytes", device="cuda:0", state="used") == 3


@pytest.mark.parametrize("label", ["", 'a"b', "x" * 65, "line\nbreak", "Zoë"])
def test_a_label_that_may_be_anything_is_other(label):
    before = value("pose_frame_faults_total", fault=OTHER)
    count("pose_frame_faults", label)
    assert value("pose_frame_faults_total", fault=OTHER) == before + 1


def test_the_number_of_series_is_bounded(monkeypatch):
    monkeypatch.setitem(counters._series, "pose_retries", set())
    for number in range(MAX_SERIES + 50):
        count("pose_retries", f"made-up-{number}")
    text = generate_latest(REGISTRY).decode()
    assert 0 < text.count('pose_retries_total{reason="made-up') <= MAX_SERIES
    assert value("pose_retries_total", reason=OTHER) >= 50
    for number in range(MAX_SERIES):
        METRICS["pose_retries"].remove(f"made-up-{number}")


@pytest.mark.parametrize(
    "counts",
    [
        None,
        5,
        [5],
        [["pose_scans"]],
        [["made_up", [], 1]],
        [["pose_verdicts", ["good", "better"], 1]],
        [["pose_verdicts", ["good"], "many"]],
        [["pose_verdicts", ["good"], -1]],
        [["pose_verdicts", 7, 1]],
    ],
)
def test_what_is_no_count_changes_nothing(counts):
    before = generate_latest(REGISTRY)
    add(counts)
    assert generate_latest(REGISTRY) == before


def test_what_alerts_look_at_is_there_from_the_start():
    families = {family.name for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())}
    assert {"pose_crashes", "pose_quarantines", "pose_retries"} <= families
    assert not math.isnan(value("pose_crashes_total", reason="killed"))
