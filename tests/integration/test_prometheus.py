"""The configuration for Prometheus, checked by its own tool; each alert fires on the numbers it is for.

tests/e2e/test_monitoring.py makes a real Prometheus and a real worker fire them, all but two.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.needs import need

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
QUIET: dict[str, float | str] = {
    'up{job="pose-beat"}': 1,
    "pose_beat_seen": 1,
    "pose_oldest_waiting_seconds": 60,
    'pose_waiting_scans{place="arrivals"}': 3,
    "pose_processes": 2,
    'pose_dead_entries{list="queue"}': 0,
    "pose_quarantined_scans": 0,
    "pose_worker_ready": 1,
    'pose_crashes_total{reason="killed"}': 0,
    'pose_retries_total{reason="storage"}': 0,
    'pose_retries_total{reason="lock"}': "0+5",  # each minute
    'pose_scans_total{outcome="completed"}': "0+10",
    'pose_scans_total{outcome="failed"}': "0+1",
    'pose_frames_total{status="ok"}': "0+90",
    'pose_pictures_withheld_total{reason="head"}': "0+9",
    'pose_stage_seconds_bucket{stage="analyse", le="60"}': "0+10",
    'pose_stage_seconds_bucket{stage="analyse", le="120"}': "0+10",
    'pose_stage_seconds_bucket{stage="analyse", le="+Inf"}': "0+10",
    'pose_model_info{role="faces", model="yunet"}': 1,
    'pose_gpu_memory_bytes{device="cuda:0", state="used"}': 70e9,
    'pose_gpu_memory_bytes{device="cuda:0", state="total"}': 80e9,
}
WRONG: dict[str, dict[str, float | str]] = {
    "PoseMetricsMissing": {'up{job="pose-beat"}': 0},
    "PoseBeatMissing": {"pose_beat_seen": 0},
    "PoseOldestScanWaits": {"pose_oldest_waiting_seconds": 1000},
    "PoseNoWorker": {"pose_processes": 0},
    "PoseDeadEntries": {'pose_dead_entries{list="queue"}': 1},
    "PoseScansInQuarantine": {"pose_quarantined_scans": 1},
    "PoseWorkerNotReady": {"pose_worker_ready": 0},
    "PoseProcessesCrash": {'pose_crashes_total{reason="killed"}': "0+1"},
    "PoseScansRetried": {'pose_retries_total{reason="storage"}': "0+2"},
    "PoseScansFail": {'pose_scans_total{outcome="failed"}': "0+3"},
    "PosePicturesWithheld": {'pose_pictures_withheld_total{reason="head"}': "0+50"},
    "PoseScansSlow": {'pose_stage_seconds_bucket{stage="analyse", le="60"}': "0+9"},
    "PoseFaceDetectorWeak": {
        'pose_model_info{role="faces", model="yunet"}': 0,
        'pose_model_info{role="faces", model="haar"}': 1,
    },
    "PoseGpuMemoryFull": {'pose_gpu_memory_bytes{device="cuda:0", state="used"}': 79e9},
}


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool")
    need([] if tool else ["promtool"], "prometheus")
    assert tool is not None
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration():
    promtool("check", "config", str(DEPLOY / "prometheus.yml"))


def test_each_alert_has_numbers_that_it_is_for():
    groups = YAML(typ="safe").load(DEPLOY / "alerts.yml")["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == set(WRONG)


def test_each_alert_is_explained():
    page = (DEPLOY.parents[1] / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(Pose\w+)` \|", page, flags=re.M)) == set(WRONG)


def test_each_alert_fires_alone_and_none_on_a_quiet_day(tmp_path):
    def case(change: Mapping[str, float | str], firing: str | None) -> dict[str, object]:
        series = [{"series": name, "values": f"{value}x60"} for name, value in {**QUIET, **change}.items()]
        expected = [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                "eval_time": "40m",
                "exp_samples": [{"labels": "{}", "value": int(name == firing)}],
            }
            for name in WRONG
        ]
        return {"interval": "1m", "input_series": series, "promql_expr_test": expected}

    cases = [case({}, None), *(case(change, name) for name, change in WRONG.items())]
    rules = {"rule_files": [str(DEPLOY / "alerts.yml")], "evaluation_interval": "1m", "tests": cases}
    path = tmp_path / "rules.json"  # JSON is YAML
    path.write_text(json.dumps(rules))
    promtool("test", "rules", str(path))


@pytest.mark.parametrize(
    ("waiting", "running", "replicas"),
    [
        ({}, 0, 0),
        ({"arrivals": 1}, 0, 1),  # one announced scan wakes the first worker
        ({"settling": 1}, 0, 1),
        ({"delayed": 1}, 0, 1),
        ({"list": 5, "unacked": 2}, 1, 2),
        ({"list": 100, "delayed": 1}, 0, 26),
    ],
)
def test_keda_scales_from_zero_by_all_that_waits(tmp_path, waiting, running, replicas):
    # The query of manifests and page, and ceil(value / threshold), by which Kubernetes' autoscaler decides.
    query = "sum(pose_waiting_scans) + sum(pose_running_scans)"
    for path in ("docs/operations.md", "deploy/kubernetes/base/scaling.yaml"):
        assert query in (DEPLOY.parents[1] / path).read_text()
    places = ("list", "delayed", "unacked", "arrivals", "settling")
    counts = {f'pose_waiting_scans{{place="{place}"}}': waiting.get(place, 0) for place in places}
    counts["pose_running_scans"] = running
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{count}x5"} for name, count in counts.items()],
        "promql_expr_test": [
            {
                "expr": f"ceil(({query}) / 4)",
                "eval_time": "2m",
                "exp_samples": [{"labels": "{}", "value": replicas}],
            }
        ],
    }
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    promtool("test", "rules", str(path))
