"""A Celery application with the settings of a test, beside the one of `worker.app`."""

from __future__ import annotations

from celery import Celery

import worker.app  # noqa: F401  its transports
from worker.config.celery import celery_config, make_folders
from worker.config.settings import Settings


def celery_app(settings: Settings) -> Celery:
    """Return an application that sends and looks, but keeps no results."""
    make_folders(settings)
    app = Celery("of-the-tests", set_as_current=False)
    app.config_from_object(celery_config(settings))
    app.backend_cls = "disabled"
    return app
