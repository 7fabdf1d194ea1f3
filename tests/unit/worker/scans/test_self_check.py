"""The check of a process: it passes where scans can be analysed, and fails with what keeps them from it."""

from __future__ import annotations

import pytest
import torch

import pose
from tests.support.estimators import FindsNobody
from tests.support.exhausted import no_descriptor_left, no_thread_left
from worker.config.settings import read_settings
from worker.scans import self_check
from worker.scans.self_check import ProcessUnfit, analyse_known_good, check_process


@pytest.fixture(autouse=True)
def _first_check(monkeypatch) -> None:
    monkeypatch.setattr(self_check, "_people", {})


def checked(monkeypatch: pytest.MonkeyPatch, estimator: pose.Estimator) -> None:
    monkeypatch.setattr(self_check, "get_estimator", lambda _: estimator)
    check_process(read_settings())


def test_the_embedded_model_finds_the_person_of_the_built_in_scan():
    analyse_known_good(pose.load_estimator("depth-hrnet", "cpu"))
    assert list(self_check._people.values()) == [[1]]


def test_a_process_that_works_passes(monkeypatch):
    checked(monkeypatch, FindsNobody())
    checked(monkeypatch, FindsNobody())


@pytest.mark.parametrize("error", [torch.AcceleratorError("CUDA error"), MemoryError(), KeyError("x")])
def test_a_process_whose_model_fails_does_not(monkeypatch, error):
    def fault() -> None:
        raise error

    with pytest.raises(ProcessUnfit, match=f"cannot analyse the built-in scan: {type(error).__name__}"):
        checked(monkeypatch, FindsNobody(before=fault))


def test_a_process_without_threads_does_not(monkeypatch):
    with no_thread_left(), pytest.raises(ProcessUnfit, match="RuntimeError"):
        checked(monkeypatch, FindsNobody())


def test_a_process_without_file_descriptors_does_not(monkeypatch):
    checked(monkeypatch, FindsNobody())
    with no_descriptor_left(), pytest.raises(ProcessUnfit, match="OSError"):
        checked(monkeypatch, FindsNobody())


def test_a_device_that_computes_something_else_than_before_does_not(monkeypatch):
    checked(monkeypatch, FindsNobody())
    monkeypatch.setattr(self_check, "_people", {key: [1] for key in self_check._people})
    with pytest.raises(ProcessUnfit, match="ValueError"):
        checked(monkeypatch, FindsNobody())
