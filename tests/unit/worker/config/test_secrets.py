from __future__ import annotations

import pytest

from worker.config.secrets import SecretFileError, s3_keys, secret_settings
from worker.config.settings import SettingsError, read_settings

SECRET = "redis://:hunter2@host:6379/3"


@pytest.fixture
def secret(tmp_path) -> str:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return str(path)


def test_without_variables_no_secret_is_read():
    assert secret_settings({}) == {}
    assert secret_settings({"CELERY_BROKER_URL_FILE": ""}) == {}
    assert s3_keys({}) is None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("CELERY_BROKER_URL", "broker_url"),
        ("CELERY_RESULT_BACKEND", "result_backend"),
        ("REDIS_URL", "redis_url"),
    ],
)
def test_a_setting_is_read_from_its_file_without_the_newline(monkeypatch, secret, name, field):
    monkeypatch.setenv(f"{name}_FILE", secret)
    settings = read_settings()
    assert getattr(settings, field) == SECRET
    assert "hunter2" not in repr(settings)


def test_the_key_of_scrambled_scans_is_read_from_its_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("5AFF00\n")
    monkeypatch.setenv("SCANS_XOR_KEY_FILE", str(tmp_path / "key"))
    settings = read_settings()
    assert settings.scans_xor_key == "5AFF00"
    assert "5AFF00" not in repr(settings) + str(settings)


@pytest.mark.parametrize("key", ["hunter2", "abc", "0x5aff"])
def test_a_key_that_is_not_hex_is_refused_without_showing_it(monkeypatch, tmp_path, key):
    (tmp_path / "key").write_text(key)
    for name, value in (("SCANS_XOR_KEY", key), ("SCANS_XOR_KEY_FILE", str(tmp_path / "key"))):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(
                SettingsError, match=r"SCANS_XOR_KEY: an XOR key of .* two hex digits"
            ) as error:
                read_settings()
        assert key not in error.value.message
        assert error.value.__cause__ is None


def test_the_redis_url_defaults_to_a_broker_url_from_a_file(monkeypatch, secret):
    monkeypatch.setenv("CELERY_BROKER_URL_FILE", secret)
    assert read_settings().redis_url == SECRET


def test_s3_needs_both_keys(tmp_path):
    for name in ("key", "secret"):
        (tmp_path / name).write_text(f"{name}-of-tests")
    access = {"AWS_ACCESS_KEY_ID_FILE": str(tmp_path / "key")}
    both = {**access, "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret")}
    assert s3_keys(both) == ("key-of-tests", "secret-of-tests")
    with pytest.raises(
        SecretFileError, match="AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE: set both"
    ):
        s3_keys(access)


def test_a_secret_must_not_be_given_twice(monkeypatch, secret):
    monkeypatch.setenv("REDIS_URL_FILE", secret)
    monkeypatch.setenv("REDIS_URL", "redis://other")
    with pytest.raises(SettingsError, match="REDIS_URL_FILE: REDIS_URL is set as well"):
        read_settings()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "must contain one word of at most 4096 bytes"),
        (b"\n", "must contain one word of at most 4096 bytes"),
        (b"two words", "must contain one word of at most 4096 bytes"),
        (b"x" * 4097, "must contain one word of at most 4096 bytes"),
        (b"\xff\xfe", "the file is not UTF-8 text"),
    ],
)
def test_the_error_for_a_bad_file_names_only_its_variable(tmp_path, content, wrong):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(SecretFileError) as error:
        secret_settings({"REDIS_URL_FILE": str(tmp_path / "file")})
    assert str(error.value).startswith("REDIS_URL_FILE: ")
    assert wrong in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_all_errors_are_reported_at_once(monkeypatch, tmp_path):
    for name in ("REDIS_URL", "CELERY_BROKER_URL", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError) as error:
        read_settings()
    lines = error.value.message.splitlines()[1:]
    assert sorted(line.split(":")[0].strip() for line in lines) == [
        "AWS_ACCESS_KEY_ID_FILE",
        "CELERY_BROKER_URL_FILE",
        "REDIS_URL_FILE",
    ]
    assert all("No such file or directory" in line for line in lines)
    assert error.value.__cause__ is None


def test_an_error_in_the_content_is_reported_without_the_content(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("redsi://:hunter2@host")
    monkeypatch.setenv("CELERY_BROKER_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL: must be a URL that Celery knows") as error:
        read_settings()
    assert "hunter2" not in error.value.message
