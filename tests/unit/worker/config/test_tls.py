from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from worker.config.settings import SettingsError, read_settings
from worker.config.tls import kombu_options, with_checked_certificate

CA = Path("/etc/ca.crt")


def test_a_url_without_tls_is_not_changed():
    for url in ("redis://:p%2Fw@host:6379/0?timeout=3", "filesystem://localhost", "amqp://host//"):
        assert with_checked_certificate(url, CA) == url


def test_a_url_with_tls_requires_a_certificate_of_the_given_authority():
    checked = with_checked_certificate("rediss://:p%40w@host:6379/0", CA)
    assert checked == "rediss://:p%40w@host:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.crt"
    assert with_checked_certificate("rediss://host", None) == "rediss://host?ssl_cert_reqs=required"


def test_an_authority_in_the_url_takes_precedence():
    checked = with_checked_certificate("rediss://host/1?ssl_ca_certs=/mine&ssl_cert_reqs=CERT_REQUIRED", CA)
    assert checked == "rediss://host/1?ssl_ca_certs=/mine&ssl_cert_reqs=required"


def test_each_of_several_urls_requires_a_certificate():
    checked = with_checked_certificate("rediss://a/0;redis://b/0;rediss://c/0", None)
    assert checked == "rediss://a/0?ssl_cert_reqs=required;redis://b/0;rediss://c/0?ssl_cert_reqs=required"


def test_kombu_gets_the_options_that_it_does_not_read_from_the_url():
    options = kombu_options(
        "rediss://:p@host/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.crt;rediss://other"
    )
    assert options == {
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
def test_the_check_cannot_be_turned_off(monkeypatch, name, query):
    monkeypatch.setenv(name, f"rediss://:hunter2@host:6379/0?{query}")
    with pytest.raises(SettingsError, match=f"{name}: must not turn off the check") as error:
        read_settings()
    assert "hunter2" not in error.value.message


def test_a_missing_certificate_file_is_reported(monkeypatch):
    monkeypatch.setenv("REDIS_CA_FILE", "/nowhere/ca.crt")
    with pytest.raises(SettingsError, match="REDIS_CA_FILE: Path does not point to a file"):
        read_settings()
