"""TLS, with certificates that are checked: what becomes of URLs, and a worker over servers that speak it."""

from __future__ import annotations

import shutil
import ssl
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
from worker.config.settings import SettingsError, read_settings
from worker.config.tls import kombu_options, with_checked_certificate

PASSWORD = "correct-horse-battery"
CA = Path("/etc/ca.crt")


def test_a_url_without_tls_stays_as_it_is():
    for url in ("redis://:p%2Fw@host:6379/0?timeout=3", "filesystem://localhost", "amqp://host//"):
        assert with_checked_certificate(url, CA) == url


def test_a_url_with_tls_says_that_certificates_are_checked_and_by_whom():
    asked = with_checked_certificate("rediss://:p%40w@host:6379/0", CA)
    assert asked == "rediss://:p%40w@host:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.crt"
    assert with_checked_certificate("rediss://host", None) == "rediss://host?ssl_cert_reqs=required"


def test_what_a_url_says_itself_is_kept():
    asked = with_checked_certificate("rediss://host/1?ssl_ca_certs=/mine&ssl_cert_reqs=CERT_REQUIRED", CA)
    assert asked == "rediss://host/1?ssl_ca_certs=/mine&ssl_cert_reqs=required"


def test_each_of_several_brokers_is_checked():
    asked = with_checked_certificate("rediss://a/0;redis://b/0;rediss://c/0", None)
    assert asked == "rediss://a/0?ssl_cert_reqs=required;redis://b/0;rediss://c/0?ssl_cert_reqs=required"


def test_kombu_is_told_apart_what_it_does_not_read_in_a_url():
    asked = kombu_options("rediss://:p@host/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.crt;rediss://other")
    assert asked == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        "ssl_ca_certs": "/etc/ca.crt",
    }
    assert kombu_options("redis://host") is None


@pytest.mark.parametrize(
    "query",
    ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=optional", "ssl_check_hostname=False"],
)
@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL"])
def test_checks_cannot_be_turned_off(monkeypatch, name, query):
    monkeypatch.setenv(name, f"rediss://:hunter2@host:6379/0?{query}")
    with pytest.raises(SettingsError, match=f"{name}: must not turn off the check") as error:
        read_settings()
    assert "hunter2" not in error.value.message


def test_an_authority_that_is_no_file_is_told(monkeypatch):
    monkeypatch.setenv("REDIS_CA_FILE", "/nowhere/ca.crt")
    with pytest.raises(SettingsError, match="REDIS_CA_FILE: Path does not point to a file"):
        read_settings()


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
    """The variables that name files with these secrets."""
    for name, secret in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(f"{secret}\n")
    return {f"{name}_FILE": str(folder / name) for name in secrets}


@pytest.fixture(scope="module")
def environment(tmp_path_factory, certificates, tls_redis) -> dict[str, str]:
    """Redis over TLS, its password in files."""
    urls = {"CELERY_BROKER_URL": tls_redis.url(0), "CELERY_RESULT_BACKEND": tls_redis.url(1)}
    files = secret_files(tmp_path_factory.mktemp("secrets"), **urls)
    return {**files, "REDIS_CA_FILE": str(certificates.authority)}


def test_a_scan_goes_through_tls_and_no_secret_into_a_log_or_a_result(
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
        # Its command line and environment are open to the user's other programs.
        process = Path(f"/proc/{worker.process.pid}")
        shown = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        assert worker.stop() == 0
    with tls_redis.client() as client_of_redis:
        events = client_of_redis.xrange("pose:events")
    assert {b"org.pose-worker.scan.completed" in entry[b"event"] for _, entry in events} == {False, True}
    told = [worker.log(), shown.decode(), pinged.stdout, str(events), str(world.json("safe/result.json"))]
    for secret in (PASSWORD, SECRET_KEY):
        assert [text for text in told if secret in text] == []


# What is refused by the one that uses it: our own client, and Celery's.
USERS = pytest.mark.parametrize("used_as", ["REDIS_URL", "CELERY_BROKER_URL"])
SAID = {
    "REDIS_URL": "Redis (REDIS_URL, or the broker's) cannot be used: ConnectionError",
    "CELERY_BROKER_URL": "the broker cannot be reached (CELERY_BROKER_URL)",
}


def refused(world: World, plain: RedisServer, used_as: str, url: str, **environment: str) -> str:
    """What `enqueue` says when it cannot use a URL, while everything else is as it should be."""
    urls = {"REDIS_URL": plain.url(13), "CELERY_BROKER_URL": plain.url(13), used_as: url}
    done = world.call("worker", "enqueue", "scan", **urls, **environment)
    assert done.returncode == 2, done.stdout
    return done.stderr.strip()


def test_the_store_of_results_is_checked_as_well(certificates, tls_redis, tmp_path):
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
def test_a_redis_whose_certificate_somebody_else_signed_is_not_talked_to(
    tmp_path, tls_redis, redis_server, used_as
):
    (tmp_path / "others").mkdir()
    others = str(make_certificates(tmp_path / "others").authority)
    said = refused(World(tmp_path), redis_server, used_as, tls_redis.url(), REDIS_CA_FILE=others)
    assert said == f"Error: {SAID[used_as]}"


@USERS
def test_nor_one_whose_authority_nobody_named(tmp_path, tls_redis, redis_server, used_as):
    assert refused(World(tmp_path), redis_server, used_as, tls_redis.url()) == f"Error: {SAID[used_as]}"


@USERS
def test_nor_one_under_a_name_that_its_certificate_does_not_have(
    tmp_path, certificates, tls_redis, redis_server, used_as
):
    url, authority = tls_redis.url(host="localhost"), str(certificates.authority)
    said = refused(World(tmp_path), redis_server, used_as, url, REDIS_CA_FILE=authority)
    assert said == f"Error: {SAID[used_as]}"


@USERS
def test_a_wrong_password_is_told_without_it(tmp_path, certificates, tls_redis, redis_server, used_as):
    url, authority = tls_redis.url(password="wrong-horse"), str(certificates.authority)
    said = refused(World(tmp_path), redis_server, used_as, url, REDIS_CA_FILE=authority)
    assert "wrong-horse" not in said
    assert said.startswith("Error: ")
    assert len(said.splitlines()) == 1
