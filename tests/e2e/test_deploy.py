"""What runs the worker elsewhere: the image's steps, the compose file, its secrets and its buckets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from ruamel.yaml import YAML

from tests.support.needs import need
from tests.support.running import unconfigured
from tests.support.s3_server import START_S, Ports, S3Server, die_with_parent, missing_programs

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
    return found


def schema_says(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_compose_file_is_one_by_its_schema(tmp_path):
    told = schema_says(COMPOSE)
    assert told.returncode == 0, told.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period: 30s", "stop_grace: 30s"))
    assert schema_says(wrong).returncode == 1


def test_nothing_is_reached_from_outside_but_flower_and_grafana_on_the_loopback(compose):
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"flower": ["127.0.0.1:5555:5555"], "grafana": ["127.0.0.1:3000:3000"]}
    assert "FLOWER_BASIC_AUTH=" in compose["services"]["flower"]["command"][-1]


def test_every_service_has_the_secrets_that_it_uses_and_no_other(compose):
    for service in compose["services"].values():
        used = set(re.findall(r"/run/secrets/(\w+)", json.dumps(service)))
        assert used == set(service.get("secrets", []))
    named = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert named == set(compose["secrets"])


def test_our_services_run_without_rights_and_write_nowhere(compose):
    ours = [each for each in compose["services"].values() if each["image"] == "pose-worker"]
    assert len(ours) == 4
    for service in ours:
        assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)


def test_a_worker_has_more_time_to_end_than_it_takes(compose):
    from worker.config.settings import Settings

    grace = Settings.model_fields["shutdown_grace_s"].default
    assert int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")) > grace


def test_every_variable_of_our_services_is_a_setting(compose):
    from worker.config.secrets import S3_KEYS, SETTINGS
    from worker.config.settings import Settings

    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    known |= {f"{name}_FILE" for name in (*SETTINGS, *S3_KEYS)}
    for service in compose["services"].values():
        if service["image"] == "pose-worker":
            assert set(service.get("environment", {})) <= known


def test_monitoring_is_a_profile_with_what_deploy_holds(compose):
    services = compose["services"]
    asked_for = {name for name, service in services.items() if service.get("profiles") == ["monitoring"]}
    assert asked_for == {"prometheus", "grafana"}
    for name in asked_for:
        for volume in services[name]["volumes"]:
            source = volume.partition(":")[0]
            assert (ROOT / "deploy" / source).exists() or source in compose["volumes"]
    configuration = YAML(typ="safe").load(ROOT / "deploy/prometheus/prometheus.yml")
    targets = str(configuration["scrape_configs"])
    assert "'beat:9464'" in targets and "['worker']" in targets
    assert services["worker"]["environment"]["METRICS_PORT"] == 9464
    (source,) = YAML(typ="safe").load(ROOT / "deploy/grafana/datasources.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = YAML(typ="safe").load(ROOT / "deploy/grafana/dashboards.yaml")["providers"]
    folder = provider["options"]["path"]
    assert any(f":{folder}/pose-worker.json:" in each for each in services["grafana"]["volumes"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("deploy") / "secrets"
    subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True, capture_output=True)
    return folder


def test_the_secrets_are_those_that_the_compose_file_names(compose, secrets):
    wanted = {str(Path(about["file"]).name) for about in compose["secrets"].values()}
    assert {path.name for path in secrets.iterdir()} == wanted
    assert all(about["file"].startswith("./secrets/") for about in compose["secrets"].values())


def test_secrets_are_new_each_time_hidden_and_never_overwritten(secrets, tmp_path):
    subprocess.run([ROOT / "deploy/secrets.sh", tmp_path / "others"], check=True, capture_output=True)
    for name in ("redis_password", "s3_secret", "s3_admin_secret", "flower_auth", "grafana_password"):
        ours = (secrets / name).read_text()
        assert len(ours) > 48
        assert ours != (tmp_path / "others" / name).read_text()
    assert secrets.stat().st_mode & 0o777 == 0o700
    again = subprocess.run([ROOT / "deploy/secrets.sh", secrets], capture_output=True)
    assert again.returncode != 0


def test_the_worker_may_do_in_the_s3_of_the_compose_file_what_its_policy_says(secrets):
    admin, worker = json.loads((secrets / "s3_config").read_text())["identities"]
    assert (admin["name"], worker["name"]) == ("admin", "worker")
    keys = {name: (secrets / f"s3_{name}").read_text().strip() for name in ("key", "secret")}
    assert worker["credentials"] == [{"accessKey": keys["key"], "secretKey": keys["secret"]}]
    policy = json.loads((ROOT / "deploy/s3-policy.json").read_text())["Statement"]
    words = {
        "s3:ListBucket": "List",
        "s3:GetObject": "Read",
        "s3:PutObject": "Write",
        "s3:DeleteObject": "Write",
        "s3:ListBucketVersions": "List",
        "s3:DeleteObjectVersion": "Write",
    }
    allowed = {
        f"{words[action]}:{resource.removeprefix('arn:aws:s3:::').removesuffix('/*')}"
        for statement in policy
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    assert set(worker["actions"]) == allowed


@pytest.fixture
def composed_redis(compose, secrets, tmp_path) -> Iterator[tuple[str, Path]]:
    """Redis by the command of the compose file, on a port and in a folder of ours."""
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    ports = Ports()
    port = ports.first
    shell, option, command = compose["services"]["redis"]["command"]
    command = command.replace("$$", "$").replace("/run/secrets", str(secrets))
    process = subprocess.Popen(
        [shell, option, f"{command} --bind 127.0.0.1 --port {port}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    url = (secrets / "broker_url").read_text().strip().replace("@redis:6379", f"@127.0.0.1:{port}")
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            redis.Redis.from_url(url).ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    yield url, tmp_path
    process.terminate()
    process.wait(START_S)
    ports.release()


def test_its_redis_wants_the_password_and_keeps_what_it_is_told(composed_redis):
    url, folder = composed_redis
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(re.sub(r"//.*@", "//", url)).ping()
    assert (folder / "appendonlydir").is_dir()


def make_buckets(*buckets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy/make_buckets.py", *buckets],
        env={**unconfigured(), **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
    )


def test_buckets_are_made_once_by_who_may(tmp_path):
    need(missing_programs(), "radosgw ceph-mon ceph-osd")
    with S3Server() as server:
        (tmp_path / "key").write_text(server.environment["AWS_ACCESS_KEY_ID"])
        (tmp_path / "secret").write_text(server.environment["AWS_SECRET_ACCESS_KEY"])
        environment = {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID_FILE": str(tmp_path / "key"),
            "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
        }
        for _ in range(2):
            done = make_buckets("scans", "results", **environment)
            assert (done.returncode, done.stdout) == (0, "scans: there\nresults: there\n"), done.stderr
        (tmp_path / "secret").write_text("wrong")
        refused = make_buckets("more", **environment)
        assert (refused.returncode, refused.stderr) == (1, "more: SignatureDoesNotMatch\n")


def test_the_dockerfile_calls_what_is_tried_here():
    runs = re.findall(r"^RUN (?:--mount=\S+ )?((?:.*\\\n)*.*)$", DOCKERFILE, flags=re.M)
    assert len(runs) == 5
    assert runs[-1].endswith("pose weights pull $FACES")
    assert [run for run in runs if "dependencies.sh /build/requirements.lock" in run] == runs[:1]
    assert [run.split("/")[-1] for run in runs if "image-steps.sh" in run] == [
        "image-steps.sh wheel",
        "image-steps.sh install",
    ]
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, flags=re.M)
    assert re.search(r'^HEALTHCHECK .* CMD \["python", "-m", "worker", "health"\]$', DOCKERFILE, flags=re.M)


def test_all_that_the_dockerfile_copies_reaches_the_engine():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, flags=re.M):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source.split('/')[0]}" in ignore


def test_the_steps_of_the_image_make_something_that_works(tmp_path):
    environment = Path(sys.prefix)
    if not (environment / "pyvenv.cfg").exists():
        pytest.skip("the tests do not run in a virtual environment whose packages could be borrowed")
    done = subprocess.run(
        [ROOT / "scripts/image-steps.sh", "all", tmp_path / "image", environment],
        env={name: value for name, value in unconfigured().items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    venv = tmp_path / "image/opt/venv"
    assert not (tmp_path / "image/build").exists()
    shown = subprocess.run(
        [venv / "bin/python", "-c", "import worker, pose; print(worker.__file__, pose.__file__)"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(venv)) for path in shown.stdout.split())
