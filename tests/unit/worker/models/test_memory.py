"""An import that fails does not end the parent: each process reports it."""

import gc

from structlog.testing import capture_logs

from pose.errors import RuntimeUnavailable
from worker.config.settings import read_settings
from worker.models.memory import import_libraries


def test_an_import_that_fails_is_logged_and_left_to_the_processes(monkeypatch):
    def missing(*_):
        raise RuntimeUnavailable("the runtime openvino is not installed")

    monkeypatch.setattr("pose.estimators.loading.choose_runtime", missing)
    try:
        with capture_logs() as logged:
            import_libraries(read_settings(runtime="openvino"))
    finally:
        gc.unfreeze()
    assert [(line["event"], line["error"]) for line in logged] == [
        ("libraries_not_imported", "RuntimeUnavailable")
    ]
