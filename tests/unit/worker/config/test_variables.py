from __future__ import annotations

import pytest

from worker.config.settings import Settings, misspelt_settings
from worker.config.variables import misspelt_variables

NAMES = [str(field.validation_alias) for field in Settings.model_fields.values()]


def nearest(name: str) -> str | None:
    return dict(misspelt_variables(NAMES, {name: "x"})).get(name)


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("SCAN_URL", "SCANS_URL"),
        ("RESULTS_BUCKET", "RESULTS_URL"),
        ("BROKER_URL", "CELERY_BROKER_URL"),
        ("CELERY_RESULTS_BACKEND", "CELERY_RESULT_BACKEND"),
        ("CELERY_QUEUE", "QUEUE"),
        ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
        ("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("POSE_DEVICE", "DEVICE"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("TIME_LIMIT", "TIME_LIMIT_S"),
        ("LOCK_TTL_SECONDS", "LOCK_TTL_S"),
        ("concurency", "CONCURRENCY"),
        ("SCANS_URL_FILE", "SCANS_URL"),
    ],
)
def test_a_variable_that_looks_like_a_setting_is_found_with_the_nearest_one(variable, setting):
    assert nearest(variable) == setting


@pytest.mark.parametrize("name", [*NAMES, "scans_url", "REDIS_URL_FILE", "AWS_SECRET_ACCESS_KEY_FILE"])
def test_a_setting_is_none_of_them(name):
    assert nearest(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "LANG", "HOSTNAME", "LOGNAME", "MODE", "TMPDIR", "DATABASE_URL", "XDG_RUNTIME_DIR",
        "AWS_REGION", "AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "FLOWER_BASIC_AUTH", "TORCH_HOME",
        "CELERY_LOG_LEVEL", "REDIS_SERVICE_HOST", "REDIS_PORT_6379_TCP_ADDR", "KUBERNETES_SERVICE_HOST",
    ],
)  # fmt: skip
def test_neither_is_a_variable_of_another_program(name):
    assert nearest(name) is None


def test_the_variables_of_this_process_are_looked_at(monkeypatch):
    monkeypatch.setenv("SCAN_URL", "s3://secret")
    assert ("SCAN_URL", "SCANS_URL") in misspelt_settings()
