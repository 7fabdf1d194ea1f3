"""`python -m worker doctor` with real servers, right and wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tests.support.running import PATIENCE_S, unconfigured
from worker.config.settings import read_settings
from worker.ledger.base import BEAT
from worker.ledger.opening import open_ledger


def doctor(here: Path, *options: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "doctor", "--json", *options],
        cwd=here,
        env={**unconfigured(), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def found(report: dict[str, Any], check: str) -> list[tuple[str, str]]:
    return [(each["level"], each["text"]) for each in report["findings"] if each["check"] == check]


def wrong(report: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["text"] for each in report["findings"] if each["level"] == "wrong"}


@pytest.fixture
def redis_environment(redis_server: RedisServer) -> dict[str, str]:
    broker, results = redis_server.emptied(0, 1)
    return {"CELERY_BROKER_URL": broker, "CELERY_RESULT_BACKEND": results, "ARRIVALS_LIST": "pose:arrivals"}


@pytest.fixture
def s3_environment(s3_path: str, s3_server) -> dict[str, str]:
    urls = {"SCANS_URL": f"s3://{s3_path}/scans", "RESULTS_URL": f"s3://{s3_path}/results"}
    return {**s3_server.environment, **urls}


def test_with_redis_s3_and_a_beat_nothing_is_wrong_and_nothing_is_left(
    here, redis_environment, s3_environment, redis_server, s3_client
):
    settings = read_settings(redis_url=redis_environment["CELERY_BROKER_URL"])
    lease = open_ledger(settings).lock(BEAT)
    assert lease is not None
    with lease, redis_server.client(0) as client, redis_server.client(1) as results:
        before = set(client.keys())
        code, report = doctor(here, **redis_environment, **s3_environment)
        assert (code, report["ok"], wrong(report)) == (0, True, {})
        left = set(client.keys()) - before
        assert left <= {b"pose:health", b"_kombu.binding.celery"}  # the first expires within a second
        assert results.keys() == []
    assert found(report, "beat") == [("ok", "one ran within the last 60 s")]
    assert [text.split(" is ")[0] for _, text in found(report, "clock")] == [
        "that of the storage of results",
        "that of Redis",
    ]
    assert found(report, "storage") == [
        ("ok", f"SCANS_URL={s3_environment['SCANS_URL']}: can be listed and read"),
        (
            "ok",
            f"RESULTS_URL={s3_environment['RESULTS_URL']}: an object was written, listed, read and deleted",
        ),
    ]
    bucket, _, prefix = s3_environment["RESULTS_URL"].removeprefix("s3://").partition("/")
    assert s3_client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []) == []


def test_what_is_not_right_is_named_with_what_to_do(here, redis_server, s3_environment):
    broker = redis_server.url(0).replace("redis://", "redis://:hunter2@")
    with redis_server.client(0) as client:
        client.lpush("celery:dead", "{}")
        client.lpush("a:dead", "{}", "{}")
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        environment = {
            **s3_environment,
            "CELERY_BROKER_URL": redis_server.url(0),
            "CELERY_RESULT_BACKEND": "redis://:hunter2@127.0.0.1:1/0",
            "ARRIVALS_LIST": "a",
            "RESULTS_URL": "s3://no-such-bucket/x",
            "MODEL": "hrnet-w48-384x288",
        }
        code, report = doctor(here, **environment)
        told = wrong(report)
        assert code == 1
        assert "hunter2" not in json.dumps(report)
        assert "redis://***@127.0.0.1:1/0: cannot be used" in told["result store"]
        assert "its bucket does not exist" in told["storage"]
        assert "evicts keys" in told["broker"]
        assert ("wrong", "hrnet-w48-384x288: not in /nowhere/weights") in found(report, "weights")
        assert told["beat"].startswith("none ran within the last 60 s")
        assert ("warning", "1 entries could not be read") in found(report, "broker")
        assert ("warning", "2 entries could not be read") in found(report, "inbox")
        assert all(each["cure"] for each in report["findings"] if each["level"] != "ok")
        code, report = doctor(here, CELERY_BROKER_URL=broker)
        assert (code, "broker" in wrong(report)) == (1, True)
        assert "hunter2" not in json.dumps(report)
    finally:
        with redis_server.client(0) as client:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
            client.flushdb()


def test_settings_that_cannot_be_used_are_a_finding_too(here):
    code, report = doctor(here, DEVICE="gpu")
    assert (code, "DEVICE: must be auto, cpu, cuda or cuda:N" in wrong(report)["settings"]) == (1, True)


def test_torch_is_imported_only_for_the_model(here):
    program = "import sys, runpy; sys.argv = ['worker', 'doctor']\ntry: runpy.run_module('worker')\n"
    program += "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program.replace("run_module('worker')", "run_module('worker.__main__', run_name='__main__')"),
        ],
        cwd=here,
        env=unconfigured(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    assert not (here / "results").exists()
    assert not (here / "scans").exists()


def test_with_model_the_built_in_scan_is_analysed(here):
    code, report = doctor(here, "--model", OMP_NUM_THREADS="1")
    ((level, text),) = found(report, "model")
    assert (code, level) == (0, "ok")
    assert text.startswith("depth-hrnet ")


def test_a_model_that_cannot_be_loaded_is_told(here):
    code, report = doctor(here, "--model", DEVICE="cuda:7")
    assert code == 1
    assert "cuda:7" in wrong(report)["model"]
