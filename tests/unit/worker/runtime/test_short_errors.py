from __future__ import annotations

import pickle
import select

import pytest
from billiard.einfo import ExceptionInfo, Traceback
from celery.exceptions import Reject, Retry

from worker.runtime.short_errors import shorten_errors
from worker.scans.failures import ScanFailed


@pytest.fixture(autouse=True)
def _short(monkeypatch) -> None:
    monkeypatch.setattr(ExceptionInfo, "__getstate__", None, raising=False)
    shorten_errors()


def fail(error: Exception, depth: int = 40) -> None:
    if depth:
        fail(error, depth - 1)
    raise error


def info_of(error: Exception) -> ExceptionInfo:
    try:
        fail(error)
    except Exception:
        return ExceptionInfo(internal=isinstance(error, Reject))
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        ScanFailed("its files are missing"),
        Retry("later", ScanFailed("away"), 7.5),
        Reject("OSError", requeue=True),
    ],
)
def test_an_error_is_sent_in_one_step_with_all_that_the_parent_uses(error):
    sent = pickle.dumps(info_of(error))
    assert len(sent) < select.PIPE_BUF - 200  # the message has a head
    got = pickle.loads(sent)
    assert (got.type, type(got.exception), str(got.exception)) == (type(error), type(error), str(error))
    assert got.internal is isinstance(error, Reject)
    assert got.traceback.endswith(str(error))
    assert "File" not in got.traceback
    assert got.exc_info == (got.type, got.exception, None)


def test_the_text_of_an_error_has_a_limit():
    assert len(pickle.loads(pickle.dumps(info_of(ValueError("x" * 9000)))).traceback) == 1000


def test_frames_alone_are_longer_than_what_is_written_in_one_step():
    """Billiard needs it: without this, the module can go."""
    assert len(pickle.dumps(info_of(ScanFailed("why")).tb)) > select.PIPE_BUF
    assert isinstance(info_of(ScanFailed("why")).tb, Traceback)
