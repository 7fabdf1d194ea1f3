"""`pose run | schema | bodies`."""

import csv
import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pose
from pose.analysis import quality
from pose.cli import main as cli
from pose.scan.frame import Scan
from pose.weights.store import WeightsStore
from tests.support.estimators import FindsNobody
from tests.support.rendered import KnowingEstimator, with_face
from tests.support.scrambled import KEY, scrambled_record

runner = CliRunner()


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch):
    monkeypatch.delenv("WEIGHTS_URL", raising=False)


@pytest.fixture
def knowing(monkeypatch):
    """Every model knows the people of `with_face`, and every scan is a frame of it."""
    truth = with_face()
    estimator = KnowingEstimator({0: truth.people})
    monkeypatch.setattr(pose, "load_estimator", lambda *_, **__: estimator, raising=False)

    scan = Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    monkeypatch.setattr(pose, "read_scan", lambda _, **__: scan)
    return truth


def run(*arguments):
    return runner.invoke(cli.app, ["run", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / "scans" / name for name in ("a-1", "b_2")]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def test_run_says_what_of_a_scan_was_not_used(knowing, folders, tmp_path, monkeypatch):
    told = (
        "scan: files: 1 file not recognised, such as rgb/….webp",
        "scan.json: artifacts[4]: order: missing",
    )
    read = pose.read_scan
    monkeypatch.setattr(pose, "read_scan", lambda folder, **_: replace(read(folder), ignored=told))
    done = run(folders[0], "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[1] == f"a-1  not used: {told[0]}; {told[1]}"
    assert json.loads((tmp_path / "out/a-1/result.json").read_text())["ignored"] == list(told)


def test_run_prints_a_line_for_each_scan_and_writes_results(knowing, folders, tmp_path):
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
    assert lines[0] == "missing  failed: there is no such folder"
    assert len(lines) == 3
    assert not (tmp_path / "out/missing").exists()


@pytest.mark.parametrize("name", ["with space", "dot.dot", "ümlaut"])
def test_a_folder_name_that_is_no_scan_id_fails_and_is_not_printed(knowing, tmp_path, name):
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


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY.hex()}\n", "utf-16")  # as a redirection in PowerShell writes it
    return file


@pytest.fixture
def scrambled(make_scan, tmp_path):
    for name, data in scrambled_record(make_scan(frames=1)).items():
        (tmp_path / "scan" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "scan" / name).write_bytes(data)
    return tmp_path / "scan"


def test_run_reads_scrambled_scans_with_the_key_in_a_file(scrambled, key_file, tmp_path, monkeypatch):
    monkeypatch.setattr(pose, "load_estimator", lambda *_, **__: FindsNobody(), raising=False)
    done = run(scrambled, "--out", tmp_path / "out", "--xor-key-file", key_file)
    assert done.exit_code == 0, done.output
    assert KEY.hex() not in done.output + (tmp_path / "out/scan/result.json").read_text()
    done = run(scrambled, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "artefacts of version v3.1 are scrambled; no key is given" in done.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("hunter2", "--xor-key-file: an XOR key of 7 characters cannot be used, expected 1 to 2048 bytes"),
        ("", "--xor-key-file: an XOR key of 0 characters"),
        (None, "No such file or directory"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_before_the_work(folders, tmp_path, content, told):
    if content is not None:
        (tmp_path / "key").write_text(content)
    done = run(*folders, "--out", tmp_path / "out", "--xor-key-file", tmp_path / "key")
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
    assert "hunter2" not in done.output and not (tmp_path / "out").exists()


def test_run_writes_a_csv(knowing, folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out", "--csv", tmp_path / "all.csv")
    assert done.exit_code == 0
    with (tmp_path / "all.csv").open(newline="") as file:
        assert [row["scan_id"] for row in csv.DictReader(file)] == ["a-1", "b_2"]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def failing_for(name, error):
    """Reads every scan but that in the folder of this name."""
    read = pose.read_scan

    def read_or_fail(folder, **options):
        if folder.name == name:
            raise error
        return read(folder, **options)

    return read_or_fail


def test_the_csv_may_lie_in_a_folder_that_out_makes(knowing, folders, tmp_path):
    out = tmp_path / "new/out"
    assert run(folders[0], "--out", out, "--csv", out / "tables/all.csv").exit_code == 0
    assert [row["scan_id"] for row in rows_of(out / "tables/all.csv")] == ["a-1"]


def test_a_failed_scan_has_its_row_in_the_csv_with_the_reason(knowing, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pose, "read_scan", failing_for("a-1", pose.InvalidManifest("scan.json", "frames", "none"))
    )
    (tmp_path / "with space").mkdir()
    scans = [tmp_path / "missing", tmp_path / "with space", *folders]
    assert run(*scans, "--out", tmp_path / "out", "--csv", tmp_path / "all.csv").exit_code == 1
    rows = [(row["scan_id"], row["status"], row["reason"][:30]) for row in rows_of(tmp_path / "all.csv")]
    assert rows[:3] == [
        ("missing", "failed", "there is no such folder"),
        ("scan 2", "failed", "the folder's name is no scan i"),
        ("a-1", "failed", "scan.json: frames: none"),
    ]
    assert rows[3][:2] == ("b_2", "ok")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "Input/output error", "/secret"), "a file cannot be read or written: Input/output error"),
        (MemoryError(), "the memory is too small for this scan: choose a smaller --batch-size"),
        (KeyError("secret"), "unexpected KeyError in test_main.py, line "),
        (ValueError("two\nlines"), "two lines"),
    ],
)
def test_no_error_stops_the_scans_that_follow(knowing, folders, tmp_path, monkeypatch, error, reason):
    monkeypatch.setattr(pose, "read_scan", failing_for("a-1", error))
    done = run(*folders, "--out", tmp_path / "out")
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first.startswith(f"a-1  failed: {reason}") and "secret" not in first
    assert second.startswith("b_2  standing")


@pytest.mark.parametrize("fails", ["reading", "writing", "no folder"])
def test_a_scan_that_fails_now_has_no_older_result(knowing, folders, tmp_path, monkeypatch, fails):
    out = tmp_path / "out"
    assert run(*folders, "--out", out).exit_code == 0
    before = (out / "a-1/result.json").read_bytes()
    if fails == "reading":
        monkeypatch.setattr(pose, "read_scan", failing_for("a-1", OSError(5, "Input/output error")))
    elif fails == "no folder":
        folders[0].rmdir()
    else:
        shutil.rmtree(out / "a-1/frames")
        (out / "a-1/frames").write_text("a file where a folder is needed")
    assert run(*folders, "--out", out).exit_code == 1
    assert not (out / "a-1/result.json").exists()
    assert (out / "a-1/result.older.json").read_bytes() == before
    assert (out / "b_2/result.json").is_file()


def test_a_second_scan_of_the_same_name_leaves_the_result_of_the_first(knowing, folders, tmp_path):
    assert run(folders[0], folders[0], "--out", tmp_path / "out").exit_code == 1
    assert (tmp_path / "out/a-1/result.json").is_file()


def test_a_file_is_not_called_a_missing_folder(knowing, folders, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK")
    done = run(tmp_path / "scan.zip", "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (
        1, "scan 1  failed: not a folder, expected a folder with one scan\n",
    )  # fmt: skip


def test_a_link_to_itself_is_a_failed_scan(knowing, folders, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    done = run(tmp_path / "loop", folders[0], "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2


def test_the_scan_id_can_be_given(knowing, tmp_path):
    folder = tmp_path / "2024.05.01 first"
    folder.mkdir()
    assert run(folder, "--out", tmp_path / "out", "--scan-id", "first").exit_code == 0
    assert json.loads((tmp_path / "out/first/result.json").read_text())["scan_id"] == "first"


@pytest.mark.parametrize("scan_id", ["", "two words", "../up", "x" * 129, "a\n"])
def test_a_scan_id_that_is_none_is_refused_before_any_work(folders, tmp_path, scan_id):
    done = run(folders[0], "--out", tmp_path / "out", "--scan-id", scan_id)
    assert done.exit_code == 2
    assert "--scan-id" in done.stderr and not (tmp_path / "out").exists()


def test_one_scan_id_for_several_scans_is_refused(folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out", "--scan-id", "one")
    assert done.exit_code == 2
    assert "2 are given" in done.stderr


@pytest.mark.parametrize("csv_file", ["new/out", "new"])
def test_a_csv_in_the_place_of_a_folder_is_refused_before_any_work(knowing, folders, tmp_path, csv_file):
    done = run(folders[0], "--out", tmp_path / "new/out", "--csv", tmp_path / csv_file)
    assert done.exit_code == 2
    assert not (tmp_path / "new").exists()
    assert len(done.stderr.splitlines()) == 1


def test_results_inside_the_scan_are_refused(knowing, folders):
    done = run(folders[0], "--out", folders[0])
    assert done.exit_code == 1
    assert "into the scan itself" in done.stdout
    assert not list(folders[0].iterdir())


def test_an_output_folder_that_cannot_be_written_is_reported_before_any_work(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)  # root may write anything
    done = run(folders[0], "--out", tmp_path / "new/out")
    assert done.exit_code == 2
    assert done.stderr == f"pose run: {tmp_path}: Permission denied\n"


def test_the_version_is_printed():
    done = runner.invoke(cli.app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"pose {version('pose-worker')}\n")


def test_heads_can_be_redacted_in_three_ways(knowing, folders, tmp_path):
    for cover in ("blur", "mosaic", "solid"):
        assert run(folders[0], "--out", tmp_path / cover, "--cover", cover).exit_code == 0
    names = [tmp_path / cover / "a-1/frames/0/blurred.jpg" for cover in ("blur", "mosaic", "solid")]
    assert names[0].read_bytes() != names[1].read_bytes()
    assert run(folders[0], "--out", tmp_path / "x", "--cover", "nothing").exit_code == 2


def test_the_limits_decide_which_frames_count(knowing, folders, tmp_path, monkeypatch):
    narrow = {name: replace(each, distance=(4.0, 5.0)) for name, each in quality.LIMITS.items()}
    monkeypatch.setattr("pose.cli.main.LIMITS", narrow)
    lines = [
        run(folders[0], "--out", tmp_path / name, "--limits", name).stdout.splitlines() for name in narrow
    ]
    assert "0 of 1 frames used" in lines[1][0] and "verdict repeat" in lines[1][0]
    assert "1 of 1 frames used" in lines[0][0]
    assert any(line.startswith("a-1  step back: ") for line in lines[0])
    assert run(folders[0], "--out", tmp_path / "x", "--limits", "none").exit_code == 2


def test_a_missing_model_ends_the_command_at_once(folders, tmp_path, monkeypatch):
    def refuse(name, device, **_):
        raise ValueError(f"no estimator is called {name!r}")

    monkeypatch.setattr(pose, "load_estimator", refuse, raising=False)
    done = run(*folders, "--out", tmp_path / "out", "--model", "other")
    assert done.exit_code == 2
    assert "other" in done.stderr


def test_the_model_is_printed(knowing, folders, tmp_path):
    done = run(folders[0], "--out", tmp_path / "out")
    assert done.stderr.splitlines()[0] == "model: knowing 1"


def test_options_reach_the_estimator(knowing, folders, tmp_path, monkeypatch):
    asked: dict[str, Any] = {}

    def load(name, device, **options):
        asked.update(options, name=name, device=device)
        return KnowingEstimator({})

    monkeypatch.setattr(pose, "load_estimator", load, raising=False)
    run(folders[0], "--out", tmp_path / "out")
    assert (asked["name"], asked["flip_test"], asked["batch_size"]) == ("auto", False, None)
    chosen = ["--model", "hrnet-w32-256x192", "--device", "cpu", "--flip-test", "--batch-size", "4"]
    chosen += ["--detector", "ssdlite320-mobilenet-v3-large"]
    chosen += ["--weights", "w.pth", "--detector-weights", "d.pth", "--runtime", "torch", "--detect", "depth"]
    chosen += ["--precision", "fp32"]
    run(folders[0], "--out", tmp_path / "out", *chosen)
    assert asked.pop("store").folder == WeightsStore().folder
    assert asked == {
        "name": "hrnet-w32-256x192", "device": "cpu", "flip_test": True, "batch_size": 4,
        "detector": "ssdlite320-mobilenet-v3-large", "weights": Path("w.pth"),
        "detector_weights": Path("d.pth"), "runtime": "torch", "detect": "depth",
        "precision": "fp32",
    }  # fmt: skip


@pytest.mark.parametrize("by", ["option", "environment"])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_weights_are_read_from_weights_url(knowing, folders, tmp_path, monkeypatch, by, form):
    asked: dict[str, Any] = {}

    def load(*_, **options):
        asked.update(options)
        return KnowingEstimator({})

    monkeypatch.setattr(pose, "load_estimator", load, raising=False)
    url = form.format(tmp_path / "weights")
    if by == "environment":
        monkeypatch.setenv("WEIGHTS_URL", url)
    chosen = ["--weights-url", url] if by == "option" else []
    run(folders[0], "--out", tmp_path / "out", *chosen)
    assert asked["store"].folder == tmp_path / "weights"


@pytest.mark.parametrize("url", ["s3://bucket/weights", "https://host/weights"])
def test_run_does_not_download_from_a_server_of_weights(url):
    assert cli.store_at(url).folder == WeightsStore().folder


@pytest.mark.parametrize(("off", "told"), [(0.0, "0.000 torso lengths"), (200.0, "ALARM: ")])
def test_both_models_give_a_line_about_their_drift(knowing, folders, tmp_path, monkeypatch, off, told):
    other = KnowingEstimator(
        {0: [replace(one, keypoints=one.keypoints + np.array([off, 0.0])) for one in knowing.people]}
    )
    other.name = "other"
    pair = (KnowingEstimator({0: knowing.people}), other)
    monkeypatch.setattr(pose, "load_pair", lambda *_, **__: pair, raising=False)
    done = run(folders[0], "--out", tmp_path / "out", "--model", "both")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == "model: knowing 1 compared with other 1"
    scan, drift = (line for line in done.stdout.splitlines() if line.strip())
    assert scan.startswith("a-1  standing")
    assert drift.startswith(f"a-1  drift against other: {told}")
    written = json.loads((tmp_path / "out/a-1/result.json").read_text())
    assert written["drift"]["offset_px"] == [off, 0.0]


def test_if_only_one_model_finds_somebody_there_is_nothing_to_compare(
    knowing, folders, tmp_path, monkeypatch
):
    pair = (KnowingEstimator({0: knowing.people}), KnowingEstimator({}))
    monkeypatch.setattr(pose, "load_pair", lambda *_, **__: pair, raising=False)
    done = run(folders[0], "--out", tmp_path / "out", "--model", "both")
    assert "a-1  drift against knowing: nothing to compare" in done.stdout


def test_a_csv_that_cannot_be_written_is_reported_before_any_work(knowing, folders, tmp_path):
    done = run(*folders, "--out", tmp_path / "out", "--csv", tmp_path / "no/such/folder.csv")
    assert done.exit_code == 2
    assert done.stderr == f"pose run: {tmp_path}/no/such/folder.csv: No such file or directory\n"
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_no_folder_is_reported_before_any_work(knowing, folders, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = run(folders[0], "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert done.stderr == f"pose run: {tmp_path}/out: not a folder, expected a folder for the results\n"


def test_an_output_that_cannot_be_written_fails_without_its_path(knowing, folders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a-1").write_text("a file")
    done = run(folders[0], "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "a-1  failed: a file cannot be read or written: " in done.stdout
    assert str(tmp_path) not in done.stdout


def test_each_command_is_there_once():
    functions = [command.callback for command in cli.app.registered_commands]
    assert len(functions) == len(set(functions))


@pytest.mark.parametrize("command", [["weights", "list"], ["evaluate", "--help"]])
def test_commands_of_other_files_are_there(command):
    done = runner.invoke(cli.app, command)
    assert done.exit_code == 0, done.output


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


def test_bodies_does_not_overwrite_files(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = runner.invoke(cli.app, ["bodies", str(tmp_path), "--seed", "1", "--posture", "lying"])
    assert done.exit_code == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_bodies_refuses_an_unknown_posture(tmp_path):
    done = runner.invoke(cli.app, ["bodies", str(tmp_path / "x"), "--seed", "1", "--posture", "sitting"])
    assert done.exit_code == 2
    assert not (tmp_path / "x").exists()
