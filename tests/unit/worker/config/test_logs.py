from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from worker.config.logs import get_logger, scrub, setup_logging, task_context

NAME = "rgb_Zoë van_der B_1622182020448_100_282.jpg"


@pytest.fixture
def output(monkeypatch) -> Iterator[StringIO]:
    """Capture standard error. Restore the loggers afterwards."""
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "worker", "pose", "botocore", "urllib3")}
    handlers = root.handlers
    stream = StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    yield stream
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


def lines(output: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_fields(output):
    setup_logging("json")
    get_logger("worker.x").info("scan_fetched", files=3)
    (line,) = lines(output)
    assert line["event"] == "scan_fetched"
    assert (line["files"], line["level"], line["logger"]) == (3, "info", "worker.x")
    assert str(line["timestamp"]).endswith("Z")


def test_lines_of_other_libraries_have_the_same_form(output):
    setup_logging("json", others=logging.INFO)
    with task_context(scan_id="s1"):
        logging.getLogger("celery.worker").info("Task %s received", "abc")
    (line,) = lines(output)
    assert (line["event"], line["level"], line["scan_id"]) == ("Task abc received", "info", "s1")


def test_the_context_of_a_task_ends_with_it(output):
    setup_logging("json")
    log = get_logger("worker.x")
    structlog.contextvars.bind_contextvars(left_over="from before")
    with pytest.raises(KeyError), task_context(scan_id="s1", attempt=2):
        log.info("within")
        raise KeyError
    log.info("after")
    within, after = lines(output)
    assert (within["scan_id"], within["attempt"]) == ("s1", 2)
    assert {"scan_id", "attempt", "left_over"}.isdisjoint(after)
    assert "left_over" not in within


def test_our_loggers_and_others_have_separate_levels(output):
    setup_logging("json", "DEBUG", others=logging.ERROR)
    get_logger("worker.x").debug("ours")
    logging.getLogger("celery").warning("theirs")
    assert [line["event"] for line in lines(output)] == ["ours"]


def test_boto_never_writes_keys_or_signatures(output):
    setup_logging("json", "DEBUG", others=logging.DEBUG)
    for name in ("botocore.auth", "botocore", "urllib3.connectionpool", "boto3.resources"):
        logging.getLogger(name).debug("Authorization: AWS4-HMAC-SHA256 …")
    assert output.getvalue() == ""


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_persons_code_password_or_local_variable_is_logged(output, format):
    setup_logging(format, others=logging.INFO)
    local = f"/scans/{NAME}"
    try:
        raise OSError(2, "No such file", local)
    except OSError:
        get_logger("worker.x").exception("unexpected_error", file=local)
        logging.getLogger("celery").error("lost %s", "redis://user:hunter2@host:6379/0", exc_info=True)
    text = output.getvalue()
    assert "Zo" not in text
    assert "hunter2" not in text
    assert "Traceback" in text
    assert "No such file" in text


def test_the_log_at_a_terminal_is_readable_text(output, monkeypatch):
    monkeypatch.setattr(output, "isatty", lambda: True)
    setup_logging("auto")
    get_logger("worker.x").info("scan_fetched", files=3)
    assert "scan_fetched" in output.getvalue()
    assert not output.getvalue().startswith("{")


def test_a_log_file_is_written_as_json(output, tmp_path):
    setup_logging("auto", logfile=str(tmp_path / "log"))
    get_logger("worker.x").info("scan_fetched")
    assert json.loads((tmp_path / "log").read_text())["event"] == "scan_fetched"


def test_scrubbing_changes_nothing_else():
    for text in ("frames/3/blurred.jpg", "depth of frame 3", "http://host:80/a:b@c", "rgb_to_depth 1_2_3"):
        assert scrub(text) == text
    assert scrub(f"a {NAME} b") == "a rgb_***.jpg b"
    assert scrub("depth_p1_1_100_1.depth, rgb_p2_1_100_1.jpg") == "depth_***.depth, rgb_***.jpg"
    assert scrub("amqp://u:p@h") == "amqp://***@h"
