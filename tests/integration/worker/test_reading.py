"""The README's rule for readers: what was read together belongs together, whatever is written meanwhile."""

from __future__ import annotations

import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pose
from pose.analysis.frame import Options
from pose.analysis.scan import Analysis, analyse_scan
from pose.scan.frame import Scan
from tests.support.rendered import KnowingEstimator, with_face
from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.scans.transfer import publish
from worker.storage.base import ObjectMissing, Storage
from worker.storage.opening import open_storage

EXAMPLE = Path(__file__).parents[3] / "examples" / "read_result.py"
read_scan: Callable[..., Any] = runpy.run_path(str(EXAMPLE))["read_scan"]
RUNS = 60
SCAN = ScanId("scan")


@pytest.fixture(scope="module")
def analyses() -> list[Analysis]:
    """One scan under two options, with the same names and other bytes, and one that has fewer files."""
    truth = with_face()
    scan = Scan(truth.frame.step, (replace(truth.frame, order=0),), (), "d" * 64)
    knows, sees_nobody = KnowingEstimator({0: truth.people}), KnowingEstimator({})
    made = [
        analyse_scan(scan, knows, scan_id="scan", options=Options(cover="blur")),
        analyse_scan(scan, knows, scan_id="scan", options=Options(cover="solid")),
        analyse_scan(scan, sees_nobody, scan_id="scan"),
    ]
    assert len({each.result.artefacts["frames/0/pose.json"] for each in made}) > 1
    assert len({len(each.artefacts) for each in made}) > 1
    return made


@pytest.fixture(params=["file", "s3"])
def storage(request, tmp_path) -> Storage:
    if request.param == "file":
        return open_storage(url_of_folder(tmp_path), "the storage of results")
    server, place = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_path")
    return open_storage(f"s3://{place}", "the storage of results", server.endpoint)


def reader_of(storage: Storage) -> Callable[[str], bytes]:
    def read(key: str) -> bytes:
        try:
            return storage.read(key, 10**8)
        except ObjectMissing:
            raise FileNotFoundError from None

    return read


def is_one_of(analyses: list[Analysis], result: dict[str, Any], files: dict[str, bytes]) -> bool:
    return any(
        each.artefacts == files and each.result == pose.ScanResult.model_validate(result) for each in analyses
    )


def test_a_reader_that_polls_during_many_runs_never_has_a_mix(storage, analyses):
    publish(storage, SCAN, analyses[0].result, analyses[0].artefacts)
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for run in range(RUNS):
                analysis = analyses[run % len(analyses)]
                publish(storage, SCAN, analysis.result, analysis.artefacts)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while not done.is_set():
        found = read_scan(reader_of(storage), "scan")
        if found is not None:
            assert is_one_of(analyses, *found)
            read += 1
    writer.join()
    assert failures == []
    assert read > 0
    found = read_scan(reader_of(storage), "scan")
    assert is_one_of(analyses[(RUNS - 1) % len(analyses) :], *found)


@pytest.mark.parametrize("after", range(1, 6))
def test_a_run_that_comes_between_two_reads_is_seen(storage, analyses, after):
    """Without the digests this reader would have a mix: the first files of the one, the last of the other."""
    publish(storage, SCAN, analyses[0].result, analyses[0].artefacts)
    read = reader_of(storage)
    keys: list[str] = []

    def read_with_a_run_in_between(key: str) -> bytes:
        if len(keys) == after:
            publish(storage, SCAN, analyses[1].result, analyses[1].artefacts)
        keys.append(key)
        return read(key)

    found = read_scan(read_with_a_run_in_between, "scan")
    assert is_one_of(analyses, *found)
    # The last file that is not the same in both is the frame's pose.json, which is read last.
    assert keys.count("scan/result.json") == (2 if after < len(analyses[0].artefacts) + 1 else 1)


def test_a_scan_without_a_result_is_none_to_read(storage):
    assert read_scan(reader_of(storage), "scan") is None


def test_the_example_can_be_run(tmp_path, analyses):
    storage = open_storage(url_of_folder(tmp_path), "the storage of results")
    publish(storage, SCAN, analyses[0].result, analyses[0].artefacts)

    def run(scan_id: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE), str(tmp_path), scan_id]
        return subprocess.run(command, capture_output=True, text=True)

    assert "frames/0/blurred.jpg" in run("scan").stdout.splitlines()
    assert run("nothing").stderr == "it has no result\n"
