"""`pose run | schema | bodies`."""

import csv
import json
import shutil

import pytest
from typer.testing import CliRunner

import pose
from pose import cli
from pose.scan import Scan
from tests.rendered import KnowingEstimator, with_face

runner = CliRunner()


@pytest.fixture
def knowing(monkeypatch):
    """Every model knows the people of `with_face`, and every scan is a frame of it."""
    truth = with_face()
    estimator = KnowingEstimator({0: truth.people})
    monkeypatch.setattr(pose, "load_estimator", lambda name, device="auto": estimator, raising=False)

    def read_scan(folder):
        if not folder.is_dir():
            raise pose.InvalidScan("scan", "folder", "missing")
        return Scan(truth.frame.step, (truth.frame,), (), "0" * 64)

    monkeypatch.setattr(pose, "read_scan", read_scan)
    return truth


def run(*arguments):
    return runner.invoke(cli.app, ["run", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / "scans" / name for name in ("a-1", "b_2")]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def test_run_prints_one_line_a_scan_and_writes_results(knowing, folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert [line.split()[:2] for line in lines] == [["a-1", "standing"], ["b_2", "standing"]]
    for folder in folders:
        result = json.loads((tmp_path / "out" / folder.name / "result.json").read_text())
        assert result["scan_id"] == folder.name
        assert (tmp_path / "out" / result["frames"][0]["picture"]).is_file()


def test_a_failed_scan_sets_the_exit_code_and_the_others_are_done(knowing, folders, tmp_path):
    done = run(tmp_path / "missing", *folders, "--out", tmp_path / "out")
    assert done.exit_code == 1
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("missing  failed: scan: folder: missing")
    assert len(lines) == 3
    assert not (tmp_path / "out/missing").exists()


@pytest.mark.parametrize("name", ["with space", "dot.dot", "ümlaut"])
def test_a_folder_whose_name_is_no_scan_id_fails_and_is_not_repeated(knowing, tmp_path, name):
    (tmp_path / name).mkdir()
    done = run(tmp_path / name, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "scan 1  failed: the folder's name is no scan id" in done.stdout
    assert name not in done.output
    assert not (tmp_path / "out").exists()


def test_two_scans_of_one_name_do_not_overwrite_each_other(knowing, folders, tmp_path):
    other = tmp_path / "elsewhere" / folders[0].name
    other.mkdir(parents=True)
    done = run(folders[0], other, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "same name" in done.stdout


def test_results_are_not_written_into_the_scan_itself(knowing, folders):
    done = run(folders[0], "--out", folders[0].parent)
    assert done.exit_code == 1
    assert "into the scan itself" in done.stdout
    assert not list(folders[0].iterdir())


def test_run_writes_a_csv(knowing, folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out", "--csv", tmp_path / "all.csv")
    assert done.exit_code == 0
    with (tmp_path / "all.csv").open(newline="") as file:
        assert [row["scan_id"] for row in csv.DictReader(file)] == ["a-1", "b_2"]


def test_heads_can_be_covered_with_one_colour(knowing, folders, tmp_path):
    for cover in ("blur", "solid"):
        assert run(folders[0], "--out", tmp_path / cover, "--cover", cover).exit_code == 0
    names = [tmp_path / cover / "a-1/frames/0/blurred.jpg" for cover in ("blur", "solid")]
    assert names[0].read_bytes() != names[1].read_bytes()
    assert run(folders[0], "--out", tmp_path / "x", "--cover", "nothing").exit_code == 2


def test_a_model_that_is_not_there_ends_it_at_once(folders, tmp_path, monkeypatch):
    def refuse(name, device="auto"):
        raise ValueError(f"no estimator is called {name!r}")

    monkeypatch.setattr(pose, "load_estimator", refuse, raising=False)
    done = run(*folders, "--out", tmp_path / "out", "--model", "other")
    assert done.exit_code == 2
    assert "other" in done.stderr


def test_a_csv_that_cannot_be_written_is_told_before_any_work(knowing, folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out", "--csv", tmp_path / "no/such/folder.csv")
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_fails_without_its_path(knowing, folders, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = run(folders[0], "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "a-1  failed:" in done.stdout
    assert str(tmp_path) not in done.stdout


def test_schema_prints_the_schema():
    done = runner.invoke(cli.app, ["schema"])
    assert json.loads(done.stdout) == pose.result_schema()


def test_bodies_renders_a_scan_that_can_be_read(tmp_path):
    out = tmp_path / "made"
    done = runner.invoke(
        cli.app, ["bodies", str(out), "--seed", "900003", "--posture", "lying", "--frames", "1"]
    )
    assert done.exit_code == 0, done.output
    assert pose.read_scan(out).declared == "lying"
    assert json.loads((out / "truth.json").read_text())["posture"] == "lying"
    shutil.rmtree(out)


def test_bodies_does_not_write_over_what_is_there(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = runner.invoke(cli.app, ["bodies", str(tmp_path), "--seed", "1", "--posture", "lying"])
    assert done.exit_code == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_bodies_refuses_a_posture_that_is_none(tmp_path):
    done = runner.invoke(cli.app, ["bodies", str(tmp_path / "x"), "--seed", "1", "--posture", "sitting"])
    assert done.exit_code == 2
    assert not (tmp_path / "x").exists()
