"""TLS with checked certificates: a worker, and each kind of client, with servers that use TLS."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis
from celery import Celery

from tests.support.certificates import Certificates, TlsRedisServer, make_certificates
from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.running import World
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, missing_programs
from worker.config.settings import read_settings

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    need([] if shutil.which("openssl") else ["openssl"], "openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_redis(certificates) -> Iterator[TlsRedisServer]:
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    with TlsRedisServer(certificates, PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def tls_s3(certificates) -> Iterator[S3Server]:
    need(missing_programs(), "radosgw ceph-mon ceph-osd")
    with S3Server(certificates.server, certificates.key) as server:
        yield server


def secret_files(folder: Path, **secrets: str) -> dict[str, str]:
    """Write the secrets to files. Return the environment variables that name the files."""
    for name, secret in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(f"{secret}\n")
    return {f"{name}_FILE": str(folder / name) for name in secrets}


@pytest.fixture(scope="module")
def environment(tmp_path_factory, certificates, tls_redis) -> dict[str, str]:
    """Redis over TLS, with the password in files."""
    urls = {"CELERY_BROKER_URL": tls_redis.url(0), "CELERY_RESULT_BACKEND": tls_redis.url(1)}
    files = secret_files(tmp_path_factory.mktemp("secrets"), **urls)
    return {**files, "REDIS_CA_FILE": str(certificates.authority)}


def test_a_scan_is_processed_over_tls_and_no_secret_is_logged_or_published(
    tmp_path_factory, environment, certificates, tls_redis, tls_s3, make_scan
):
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    bucket = f"tls-{uuid.uuid4()}"
    client: Any = boto3.client(
        "s3",
        endpoint_url=tls_s3.endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client.create_bucket(Bucket=bucket)
    world = World(
        tmp_path_factory.mktemp("tls"),
        {
            **environment,
            **secret_files(tmp_path_factory.mktemp("keys"), **keys),
            "AWS_ENDPOINT_URL_S3": tls_s3.tls_endpoint,
            "AWS_CA_BUNDLE": str(certificates.authority),
            "SCANS_URL": f"s3://{bucket}/scans",
            "RESULTS_URL": f"s3://{bucket}/results",
            "LOG_LEVEL": "DEBUG",
        },
    )
    world.put_scan("safe", make_scan(frames=2))
    with world.start_worker("--loglevel", "DEBUG") as worker:
        worker.wait_for_event("worker_ready")
        world.enqueue("safe")
        world.wait_for("safe", "completed")
        pinged = world.ping()
        healthy = world.call("worker", "health")
        assert healthy.stdout.strip() == "healthy", healthy.stderr
        # Other programs of the same user can read its command line and environment.
        process = Path(f"/proc/{worker.process.pid}")
        shown = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        assert worker.stop() == 0
    with tls_redis.client() as client_of_redis:
        events = client_of_redis.xrange("pose:events")
    assert {b"org.pose-worker.scan.completed" in entry[b"event"] for _, entry in events} == {False, True}
    texts = [worker.log(), shown.decode(), pinged.stdout, str(events), str(world.json("safe/result.json"))]
    for secret in (PASSWORD, SECRET_KEY):
        assert [text for text in texts if secret in text] == []


# The two clients: the worker's own and Celery's.
USERS = pytest.mark.parametrize("used_as", ["REDIS_URL", "CELERY_BROKER_URL"])
SAID = {
    "REDIS_URL": "Redis (REDIS_URL, or the broker's) cannot be used: ConnectionError",
    "CELERY_BROKER_URL": "the broker cannot be reached (CELERY_BROKER_URL)",
}


def refused(world: World, plain: RedisServer, used_as: str, url: str, **environment: str) -> str:
    """Return the error message of `enqueue` if one URL cannot be used and all else is right."""
    urls = {"REDIS_URL": plain.url(13), "CELERY_BROKER_URL": plain.url(13), used_as: url}
    done = world.call("worker", "enqueue", "scan", **urls, **environment)
    assert done.returncode == 2, done.stdout
    return done.stderr.strip()


def test_the_certificate_of_the_result_backend_is_checked(certificates, tls_redis, tmp_path):
    (tmp_path / "others").mkdir()
    others = make_certificates(tmp_path / "others").authority

    def ping(authority: Path, host: str = "127.0.0.1") -> bool:
        settings = read_settings(result_backend=tls_redis.url(host=host), redis_ca_file=authority)
        backend = Celery(backend=settings.result_backend, set_as_current=False).backend
        return bool(backend.client.ping())

    assert ping(certificates.authority)
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        ping(others)
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        ping(certificates.authority, host="localhost")


@USERS
@pytest.mark.parametrize("wrong", ["another authority", "an unknown authority", "another host name"])
def test_a_wrong_certificate_is_refused(tmp_path, certificates, tls_redis, redis_server, used_as, wrong):
    url, authorities = tls_redis.url(), {"REDIS_CA_FILE": str(certificates.authority)}
    if wrong == "another authority":
        (tmp_path / "others").mkdir()
        authorities["REDIS_CA_FILE"] = str(make_certificates(tmp_path / "others").authority)
    elif wrong == "an unknown authority":
        authorities.clear()
    else:
        url = tls_redis.url(host="localhost")
    said = refused(World(tmp_path), redis_server, used_as, url, **authorities)
    assert said == f"Error: {SAID[used_as]}"


@USERS
def test_a_wrong_password_is_reported_without_the_password(
    tmp_path, certificates, tls_redis, redis_server, used_as
):
    url, authority = tls_redis.url(password="wrong-horse"), str(certificates.authority)
    said = refused(World(tmp_path), redis_server, used_as, url, REDIS_CA_FILE=authority)
    assert "wrong-horse" not in said
    assert said.startswith("Error: ")
    assert len(said.splitlines()) == 1
