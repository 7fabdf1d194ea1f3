"""`pose run` as a process: signals, pipes, full disks and terminals of other encodings."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pose.privacy.cascades import Cascades
from tests.support.running import unconfigured, wait_until

# The command with people who are known beforehand. "c" blocks until the process is ended.
COMMAND = """
import pathlib, time
import pose
from pose.cli import main as cli
from pose.privacy.cascades import Cascades
from pose.scan.frame import Scan
from tests.support.rendered import KnowingEstimator, with_face

truth = with_face()

def read(folder, **_):
    if folder.name == "c":
        pathlib.Path("reached").touch()
        time.sleep(600)
    return Scan(truth.frame.step, (truth.frame,), (), "0" * 64)

pose.read_scan = read
pose.load_estimator = lambda *_, **__: KnowingEstimator({0: truth.people})
cli.store_at = lambda _: None  # it imports torch
cli.load_face_detector = lambda *_: Cascades()  # so does this, to look for stored weights
cli.main()
"""
BETTER = "`pose weights pull yunet` brings a better one"
MODELS = ["model: knowing 1", f"face detector: haar {Cascades.version}; {BETTER}"]


class Here:
    """A folder with scans, in which the command runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("a", "b", "c", "d", "küche 1"):
            (folder / name).mkdir()

    def start(self, *arguments: str, stdout: int | None = subprocess.PIPE, **environment: str):
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=self.folder,
            env={**unconfigured(), **environment},
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdout: int | None = subprocess.PIPE, **environment: str):
        """Exit code, lines of standard output, and of standard error."""
        process = self.start(*arguments, stdout=stdout, **environment)
        out, err = process.communicate(timeout=180)
        return process.returncode, (out or b"").splitlines(), err.decode(errors="replace").splitlines()

    def rows(self, name: str) -> list[str]:
        with (self.folder / name).open(newline="") as file:
            return [row["scan_id"] for row in csv.DictReader(file)]

    def results(self, out: str = "out") -> list[str]:
        return sorted(path.parent.name for path in (self.folder / out).glob("*/result.json"))


@pytest.fixture
def here(tmp_path):
    return Here(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_rows_and_results_of_finished_scans(here, number, code):
    (here.folder / "all.csv").write_text("old")
    process = here.start("run", "a", "b", "c", "d", "--out", "out", "--csv", "all.csv")
    wait_until((here.folder / "reached").exists, "the third scan")
    assert (here.folder / "all.csv").read_text() == "old"
    process.send_signal(number)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    ended = f"pose run: ended by {signal.Signals(number).name}; results of the finished scans are kept"
    assert err.decode().splitlines() == [*MODELS, ended]
    assert here.rows("all.csv") == ["a", "b"]
    assert here.results() == ["a", "b"]
    assert not list(here.folder.glob(".*"))


def test_a_signal_before_the_first_scan_ends_keeps_the_older_csv(here):
    (here.folder / "all.csv").write_text("old")
    process = here.start("run", "c", "--out", "out", "--csv", "all.csv")
    wait_until((here.folder / "reached").exists, "the scan")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert (here.folder / "all.csv").read_text() == "old"
    assert not list(here.folder.glob(".*"))


def test_a_killed_run_leaves_the_older_csv(here):
    (here.folder / "all.csv").write_text("old")
    process = here.start("run", "a", "c", "--out", "out", "--csv", "all.csv")
    wait_until((here.folder / "reached").exists, "the second scan")
    process.kill()
    process.communicate(timeout=60)
    assert (here.folder / "all.csv").read_text() == "old"
    (rescued,) = here.folder.glob(".all.csv.*")
    assert here.rows(rescued.name) == ["a"]


def test_a_full_standard_output_costs_its_lines_only(here):
    with open("/dev/full", "w") as full:
        code, _, err = here.run("run", "a", "b", "--out", "out", "--csv", "all.csv", stdout=full.fileno())
    assert code == 1
    assert err == [*MODELS, "pose: standard output cannot be written: No space left on device"]
    assert here.results() == here.rows("all.csv") == ["a", "b"]


def test_a_reader_that_goes_away_stops_no_scan(here):
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = here.run("run", "a", "b", "--out", "out", stdout=writer)
    os.close(writer)
    assert code == 1
    assert err == [*MODELS, "pose: standard output cannot be written: Broken pipe"]
    assert here.results() == ["a", "b"]


def test_other_commands_end_in_one_line_too(here):
    with open("/dev/full", "w") as full:
        code, _, err = here.run("schema", stdout=full.fileno())
    assert (code, err) == (1, ["pose: standard output cannot be written: No space left on device"])


def test_a_csv_on_a_full_device_costs_the_csv_only(here):
    code, out, err = here.run("run", "a", "b", "--out", "out", "--csv", "/dev/full")
    assert (code, len(out)) == (1, 2)
    assert err == [*MODELS, "pose run: /dev/full: No space left on device"]
    assert here.results() == ["a", "b"]


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a disk that is small")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_costs_the_scans_that_do_not_fit(here, small_disk):
    code, out, err = here.run("run", "a", "b", "d", "--out", "disk/out", "--csv", "disk/all.csv")
    assert code == 1
    fitted = here.results("disk/out")
    failed = [line for line in out if b"  failed: " in line]
    assert len(out) == 3 and len(fitted) == 3 - len(failed) < 3
    assert set(failed[0].split(b"failed: ")[1:]) == {
        b"a file cannot be read or written: No space left on device"
    }
    assert not list(small_disk.glob("out/*/.draft*"))
    rows = here.rows("disk/all.csv")
    assert rows == ["a", "b", "d"][: len(rows)]
    assert len(err) - len(MODELS) == (0 if len(rows) == 3 else 1)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_terminal_lacks_a_character(here, encoding):
    code, _, err = here.run("run", "--help", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, [])
    code, out, err = here.run(
        "run", "küche 1", "ε", "a", "--out", "öl/ε", "--csv", "öl/ε/ä.csv", PYTHONIOENCODING=encoding
    )
    assert (code, len(out), err) == (1, 3, MODELS)
    assert here.rows("öl/ε/ä.csv") == ["scan 1", "scan 2", "a"]
    code, _, err = here.run("run", "a", "--out", "out", "--csv", "ε/ä.csv", PYTHONIOENCODING=encoding)
    assert (code, len(err)) == (2, 1)


def test_an_old_locale_is_no_obstacle(here):
    code, out, _ = here.run("run", "küche 1", "a", "--out", "ö", LC_ALL="C", PYTHONUTF8="0")
    assert (code, len(out)) == (1, 2)
