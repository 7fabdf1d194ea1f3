from __future__ import annotations

from celery import Celery

from tests.support.running import wait_until
from worker.config.settings import read_settings
from worker.ledger.base import BEAT
from worker.ledger.opening import open_ledger
from worker.runtime.maintenance import Maintenance


def test_while_a_beat_runs_the_ledger_shows_it(here):
    settings = read_settings()
    beats = [Maintenance(Celery(set_as_current=False), settings) for _ in range(2)]
    for each in beats:
        each._works = []
        each.start()
    wait_until(lambda: open_ledger(settings).is_locked(BEAT), "the lock")
    for each in beats:
        each.stop()
    assert not open_ledger(settings).is_locked(BEAT)
