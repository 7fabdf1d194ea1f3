"""Of several beats, one sends the regular work. One contract for each ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule

from worker.config.settings import Settings, read_settings
from worker.ledger.base import BEAT
from worker.ledger.opening import open_ledger
from worker.runtime import beat
from worker.runtime.beat import STANDBY_S, LeaderScheduler


class Recording(LeaderScheduler):
    """Notes what it would send."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.sent: list[str] = []
        super().__init__(*args, **options)

    producer = None

    def setup_schedule(self) -> None:
        self.merge_inplace({"work": {"task": "work", "schedule": schedule(0.001, app=self.app)}})

    def apply_async(self, entry: Any, *args: Any, **options: Any) -> Any:
        self.sent.append(entry.task)


@pytest.fixture(params=["redis", "files"])
def settings(request, here, monkeypatch) -> Settings:
    url = request.getfixturevalue("redis_server").emptied(0)[0] if request.param == "redis" else None
    settings = read_settings(redis_url=url, lock_ttl_s=30.0)
    monkeypatch.setattr(beat, "load_settings", lambda: settings)
    return settings


@pytest.fixture
def make_beat(settings) -> Callable[[], Recording]:
    return lambda: Recording(Celery(set_as_current=False))


def tick(scheduler: Recording) -> float:
    for _ in range(5):  # a task for each call
        wait = scheduler.tick()
    return wait


def test_the_first_sends_and_the_second_waits_until_it_has_ended(make_beat, settings):
    first, second = make_beat(), make_beat()
    tick(first)
    assert tick(second) == STANDBY_S
    assert (bool(first.sent), second.sent) == (True, [])
    assert open_ledger(settings).is_locked(BEAT)
    first.close()
    assert not open_ledger(settings).is_locked(BEAT)
    tick(second)
    assert second.sent
    second.close()


def test_it_sends_nothing_while_the_ledger_is_away(here, monkeypatch):
    away = read_settings(redis_url="redis://127.0.0.1:1/0")
    monkeypatch.setattr(beat, "load_settings", lambda: away)
    scheduler = Recording(Celery(set_as_current=False))
    assert scheduler.tick() == STANDBY_S
    assert scheduler.sent == []
    scheduler.close()
