from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from celery import Celery

from worker.config.celery import broker_folders, celery_config, make_folders
from worker.config.settings import read_settings
from worker.runtime.housekeeping import LEFT_AFTER_S, clean_up
from worker.storage.local import DRAFT

DAY_S = 86_400


def made(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.fixture
def app(here) -> Celery:
    settings = read_settings()
    make_folders(settings)
    app = Celery("of-the-tests", set_as_current=False)
    app.config_from_object(celery_config(settings))
    return app


def test_results_of_celery_expire_after_a_day(here, app):
    states = here / ".run" / "states"
    old = made(states / "celery-task-meta-old", DAY_S + 60)
    new = made(states / "celery-task-meta-new", DAY_S - 60)
    assert clean_up(read_settings(), app.backend) == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_what_killed_processes_left_is_removed_when_it_is_old(here, app):
    settings = read_settings()
    queue, _ = broker_folders(settings)
    left = [queue / f".{name}-1_2.celery.msg" for name in ("draft", "taken", "purged")]
    drafts = [*left, here / "results" / "scan" / "frames" / "1" / f"{DRAFT}1"]
    kept = [
        made(queue / "1_2.celery.msg", 9 * DAY_S),
        made(here / "results" / "scan" / "result.json", 9 * DAY_S),
    ]
    for path in drafts:
        made(path, LEFT_AFTER_S - 60)
    assert clean_up(settings, app.backend) == 0
    for path in drafts:
        made(path, LEFT_AFTER_S + 60)
    assert clean_up(settings, app.backend) == len(drafts)
    assert not any(path.exists() for path in drafts)
    assert all(path.exists() for path in kept)


def test_folders_of_scans_that_were_not_changed_lately_are_not_looked_into(here, app):
    settings = read_settings(broker_url="redis://127.0.0.1:1/0")
    for scan_id, age_s in (("old", 3 * DAY_S), ("new", DAY_S)):
        made(here / "results" / scan_id / f"{DRAFT}1", 3 * DAY_S)
        os.utime(here / "results" / scan_id, (time.time() - age_s,) * 2)
    assert clean_up(settings, app.backend, changed_within_s=2 * DAY_S) == 1
    assert clean_up(settings, app.backend, changed_within_s=4 * DAY_S) == 1


def test_without_any_folder_there_is_nothing_to_do(here):
    assert clean_up(read_settings(broker_url="redis://127.0.0.1:1/0"), None) == 0
