"""The shortest example."""

from pathlib import Path

import pytest

import pose
from pose import demo
from pose.scan.frame import Scan
from tests.support.rendered import KnowingEstimator, with_face


def test_the_example_is_short():
    assert len(Path(demo.__file__).read_text().splitlines()) < 30


def test_the_example_prints_what_it_found(monkeypatch, capsys):
    truth = with_face()
    monkeypatch.setattr("sys.argv", ["demo", "a-folder"])
    monkeypatch.setattr(
        pose, "read_scan", lambda folder: Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    )
    estimator = KnowingEstimator({0: truth.people})
    monkeypatch.setattr(pose, "load_estimator", lambda name: estimator, raising=False)
    demo.main()
    printed = capsys.readouterr().out
    assert printed.startswith("standing, body length ")
    assert "frame 0: ok" in printed


@pytest.mark.parametrize("name", ["read_scan", "load_estimator", "analyse_scan"])
def test_the_example_uses_the_stable_names(name):
    assert f"pose.{name}(" in Path(demo.__file__).read_text()
