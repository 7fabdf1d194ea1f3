from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.config.celery import celery_config, make_folders
from worker.config.settings import Settings, SettingsError, read_settings


def test_without_variables_everything_is_in_the_current_folder(here):
    settings = read_settings()
    assert settings.broker_url == "filesystem://localhost"
    assert settings.result_backend == f"file://{here}/.run/states"
    assert settings.scans_url == f"file://{here}/scans"
    assert settings.results_url == f"file://{here}/results"
    assert (settings.model, settings.device) == ("auto", "auto")
    assert (settings.weights_url, settings.flip_test, settings.batch_size) == (None, False, None)
    assert list(here.iterdir()) == []


def test_each_setting_is_read_from_its_variable(monkeypatch):
    wanted = {
        "CELERY_BROKER_URL": ("broker_url", "redis://host:6379/0"),
        "CELERY_RESULT_BACKEND": ("result_backend", "redis://host:6379/1"),
        "AWS_ENDPOINT_URL_S3": ("s3_endpoint_url", "http://host:8333"),
        "SCANS_URL": ("scans_url", "s3://bucket"),
        "RESULTS_URL": ("results_url", "s3://out/prefix"),
        "MODEL": ("model", "hrnet-w48-384x288"),
        "DETECTOR": ("detector", "ssdlite320-mobilenet-v3-large"),
        "WEIGHTS_URL": ("weights_url", "s3://bucket/weights"),
        "DEVICE": ("device", "cuda:1"),
        "RUNTIME": ("runtime", "openvino"),
        "PRECISION": ("precision", "fp16"),
        "DETECT": ("detect", "depth"),
        "LOG_FORMAT": ("log_format", "json"),
        "FACE_DETECTOR": ("face_detector", "haar"),
        "LIMITS": ("limits", "production"),
        "FLIP_TEST": ("flip_test", True),
        "BATCH_SIZE": ("batch_size", 64),
    }
    for name, (_, value) in wanted.items():
        monkeypatch.setenv(name, str(value))
    settings = read_settings()
    assert {field: getattr(settings, field) for field, _ in wanted.values()} == dict(wanted.values())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/srv/my weights", "file:///srv/my%20weights"),
        ("file:///srv/weights", "file:///srv/weights"),
        ("s3://bucket/weights", "s3://bucket/weights"),
        ("https://mirror.example/weights/", "https://mirror.example/weights/"),
    ],
)
def test_weights_may_be_in_a_folder_a_bucket_or_on_a_server(given, kept):
    assert read_settings(weights_url=given).weights_url == kept


@pytest.mark.parametrize(
    "url", ["weights", "ftp://host/x", "s3://B", "https://me:hunter2@host/", "file:/../x"]
)
def test_other_urls_of_weights_are_refused(url):
    with pytest.raises(SettingsError, match="weights_url: must") as error:
        read_settings(weights_url=url)
    assert "hunter2" not in error.value.message


def test_the_error_lists_where_weights_may_be():
    with pytest.raises(SettingsError, match=r"start with file://, s3:// or https://$"):
        read_settings(weights_url="ftp://host/x")


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    for name in ("CELERY_BROKER_URL", "AWS_ENDPOINT_URL_S3", "DEVICE", "MAX_ATTEMPTS"):
        monkeypatch.setenv(name, "")
    assert (read_settings().device, read_settings().max_attempts) == ("auto", 60)


def test_all_errors_are_reported_at_once_by_the_name_of_the_variable(monkeypatch):
    wrong = {
        "CELERY_BROKER_URL": "redis",
        "CELERY_RESULT_BACKEND": "ftp://host",
        "AWS_ENDPOINT_URL_S3": "host:9000",
        "SCANS_URL": "/data",
        "RESULTS_URL": "s3://X",
        "MODEL": "../weights",
        "DETECTOR": "a b",
        "FACE_DETECTOR": "mtcnn",
        "FLIP_TEST": "perhaps",
        "BATCH_SIZE": "0",
        "WEIGHTS_URL": "weights",
        "DEVICE": "gpu",
        "MAX_ATTEMPTS": "0",
        "LOG_FORMAT": "xml",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        read_settings()
    lines = error.value.message.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == sorted(wrong)


def test_errors_contain_no_values_because_they_may_hold_passwords(monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redsi://:hunter2@host")
    monkeypatch.setenv("SCANS_URL", "s3://key:hunter2@bucket")
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert "hunter2" not in error.value.message
    assert error.value.__cause__ is None
    assert "hunter2" not in repr(read_settings(broker_url="redis://:hunter2@host", scans_url="s3://bucket"))


def test_scans_and_results_need_different_urls():
    with pytest.raises(SettingsError, match="must differ"):
        read_settings(scans_url="s3://bucket/a", results_url="s3://bucket/a/")


def test_the_soft_time_limit_must_be_below_the_hard_one():
    with pytest.raises(SettingsError, match="SOFT_TIME_LIMIT_S must be below TIME_LIMIT_S"):
        read_settings(soft_time_limit_s=150)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_a_device_is_accepted(device):
    assert read_settings(device=device).device == device


@pytest.mark.parametrize("device", ["CPU", "cuda:", "cuda:-1", "cuda:x", "cpu\n", "mps"])
def test_other_devices_are_refused(device):
    with pytest.raises(SettingsError, match=r"(DEVICE|device): must be auto"):
        read_settings(device=device)


WEEK_S = 7 * 24 * 3600


@pytest.mark.parametrize(
    ("name", "highest"),
    [
        ("arrivals_quiet_s", 3600), ("batch_size", 4096), ("concurrency", 256), ("torch_threads", 1024),
        ("max_attempts", 1000), ("retry_base_s", 60), ("retry_total_s", WEEK_S), ("max_deaths", 100),
        ("lock_ttl_s", 3600), ("queue_lease_s", WEEK_S), ("reconcile_every_s", WEEK_S // 7),
        ("time_limit_s", WEEK_S // 7), ("shutdown_grace_s", 3600),
    ],
)  # fmt: skip
def test_a_number_above_its_limit_is_refused(name, highest):
    assert getattr(read_settings(**{name: highest}), name) == highest
    with pytest.raises(SettingsError, match=name):
        read_settings(**{name: highest + 1})


def test_settings_are_immutable_and_hashable():
    settings = read_settings()
    with pytest.raises(ValidationError):
        settings.device = "cpu"
    assert hash(settings) == hash(Settings())


def test_the_redis_url_defaults_to_the_broker_if_that_is_a_single_redis():
    assert read_settings(broker_url="redis://:pw@host:6379/0").redis_url == "redis://:pw@host:6379/0"
    assert read_settings(broker_url="redis://a", redis_url="redis://b").redis_url == "redis://b"
    assert read_settings().redis_url is None


@pytest.mark.parametrize("broker", ["redis://a;redis://b", "amqp://host", "sqs://"])
def test_another_broker_needs_a_redis_url_as_files_are_not_shared(broker):
    with pytest.raises(SettingsError, match="REDIS_URL must be set: CELERY_BROKER_URL is not one Redis"):
        read_settings(broker_url=broker)
    settings = read_settings(broker_url=broker, redis_url="redis://c")
    assert (settings.redis_url, settings.result_backend) == ("redis://c", "redis://c")


def test_results_are_in_the_redis_of_the_broker_if_nothing_else_is_said(here):
    assert read_settings(broker_url="redis://:pw@host:6379/0").result_backend == "redis://:pw@host:6379/0"
    assert read_settings(redis_url="redis://host").result_backend == f"file://{here}/.run/states"
    settings = read_settings(broker_url="redis://a", result_backend="redis://b")
    assert settings.result_backend == "redis://b"


def test_a_result_store_is_one_redis():
    with pytest.raises(SettingsError, match="result_backend: must name one Redis"):
        read_settings(broker_url="redis://a", result_backend="redis://a;redis://b")


SENTINELS = "sentinel://:hunter2@a:26379/1;sentinel://b"


def test_sentinels_serve_as_broker_redis_and_result_store():
    settings = read_settings(broker_url=SENTINELS, redis_master_name="pose")
    assert (settings.redis_url, settings.result_backend) == (SENTINELS, SENTINELS)
    config = celery_config(settings)
    assert config["broker_transport_options"]["master_name"] == "pose"
    assert config["result_backend_transport_options"]["master_name"] == "pose"


@pytest.mark.parametrize("name", ["broker_url", "redis_url", "result_backend"])
def test_sentinels_need_the_name_of_the_master(name):
    values = {"broker_url": "redis://host", name: SENTINELS}
    with pytest.raises(SettingsError, match="REDIS_MASTER_NAME must be set with sentinel://"):
        read_settings(**values)
    with pytest.raises(SettingsError, match="REDIS_CA_FILE has no effect with sentinel://"):
        read_settings(**values, redis_master_name="pose", redis_ca_file=__file__)


@pytest.mark.parametrize("name", ["broker_url", "redis_url", "result_backend"])
@pytest.mark.parametrize(
    "url",
    ["sentinel://", "sentinel://a:hunter2", "sentinel://a;redis://b", "sentinel://a/pose", "sentinel://a;"],
)
def test_other_urls_of_sentinels_are_refused(name, url):
    with pytest.raises(SettingsError, match=f"{name}: must be sentinel://host:port/database") as error:
        read_settings(**{name: url}, redis_master_name="pose")
    assert "hunter2" not in error.value.message


def test_the_queue_is_that_of_producers_and_workers():
    assert celery_config(read_settings())["task_default_queue"] == "celery"
    assert celery_config(read_settings(queue="scans"))["task_default_queue"] == "scans"
    for wrong in ("a b", "a.b", "a" * 101):
        with pytest.raises(SettingsError, match="queue: must be the name of a queue"):
            read_settings(queue=wrong)


@pytest.mark.parametrize("url", ["host:6379", "http://host", "redis://host:hunter2/0", "redis://a;redis://b"])
def test_other_redis_urls_are_refused(url):
    with pytest.raises(SettingsError, match="must be redis://host:port/database") as error:
        read_settings(redis_url=url)
    assert "hunter2" not in error.value.message


def test_the_inbox_needs_a_redis_and_a_list_of_its_own():
    with pytest.raises(SettingsError, match="ARRIVALS_LIST needs a Redis"):
        read_settings(arrivals_list="scans:arrived")
    with pytest.raises(SettingsError, match="must be a Redis key"):
        read_settings(arrivals_list="scans arrived", redis_url="redis://host")
    for taken in ("celery", "pose:events", "scans"):
        with pytest.raises(SettingsError, match="must not be Celery's own"):
            read_settings(arrivals_list=taken, redis_url="redis://host", queue="scans")


def test_a_folder_that_cannot_be_created_is_an_error_of_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^RUN_DIR: the folder .*/file/run cannot be made: Not a dir"):
        make_folders(read_settings(run_dir=tmp_path / "file" / "run"))
    backend = f"file://{tmp_path}/file/states"
    with pytest.raises(SettingsError, match=r"^CELERY_RESULT_BACKEND: the folder .*/file/states cannot be"):
        make_folders(read_settings(run_dir=tmp_path / "run", result_backend=backend))


def lines_of_queues() -> list[str]:
    page = (Path(__file__).parents[4] / "docs" / "queues.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if "=" in line]


@pytest.mark.parametrize("line", lines_of_queues())
def test_the_examples_of_the_page_on_queues_can_be_used(line, monkeypatch):
    for word in shlex.split(line):
        if re.match(r"[A-Z_]+=", word):
            monkeypatch.setenv(*word.split("=", 1))
    read_settings()
