from __future__ import annotations

import pytest

from worker.metrics.look import Look, Place
from worker.metrics.server import KEEP_S, RecentLook


def found(waiting: int) -> Look:
    return Look({Place.LIST: waiting}, 0.0, 0, 1, 1, {}, 0, True)


def test_scrapes_close_together_share_a_look():
    looks, now = iter(map(found, (1, 2))), [100.0]
    recent = RecentLook(lambda: next(looks), lambda: now[0])
    assert recent().load == recent().load == 1
    now[0] += KEEP_S
    assert recent().load == 2


def test_a_look_that_fails_is_not_replaced_by_an_old_one():
    answers, now = [found(1)], [100.0]
    recent = RecentLook(lambda: answers.pop(), lambda: now[0])
    recent()
    now[0] += KEEP_S
    for _ in range(2):
        with pytest.raises(IndexError):
            recent()


@pytest.mark.parametrize(
    ("waiting", "running", "processes", "load"),
    [(0, 0, 0, 0), (3, 0, 0, float("inf")), (0, 2, 4, 0.5), (7, 1, 2, 4)],
)
def test_load_counts_what_waits_and_what_runs(waiting, running, processes, load):
    places = {Place.DELAYED: waiting}
    assert Look(places, None, running, processes, 1, {}, 0, True).load == load
