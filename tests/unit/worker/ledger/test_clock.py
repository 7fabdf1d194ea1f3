"""The clock of the ledger's server, as a machine with a wrong clock sees it."""

from __future__ import annotations

import pytest

from worker.ledger import clock as clocks
from worker.ledger.base import LedgerUnavailable
from worker.ledger.clock import PAUSE_S, REFRESH_S, StoreClock

HOUR_S = 3600.0


class World:
    """A server and a machine. `skew_s` is how far the machine's clock is ahead."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.there = 1_000_000.0
        self.skew_s = 0.0
        self.away = False
        self.asked = 0
        self.told: list[dict[str, object]] = []

    def ask(self) -> float:
        self.asked += 1
        if self.away:
            raise LedgerUnavailable("away")
        return self.there + self.passed

    def local(self) -> float:
        return self.there + self.passed + self.skew_s

    def clock(self) -> StoreClock:
        return StoreClock(self.ask, lambda: 77.0 + self.passed, self.local)


@pytest.fixture
def world(monkeypatch) -> World:
    world = World()
    monkeypatch.setattr(clocks.log, "warning", lambda event, **fields: world.told.append({event: fields}))
    return world


@pytest.mark.parametrize("skew_s", [-24 * HOUR_S, -HOUR_S, 0.0, 24 * HOUR_S])
def test_the_time_is_that_of_the_server_whatever_the_machine_says(world, skew_s):
    world.skew_s = skew_s
    clock = world.clock()
    for passed in (0.0, 1.0, REFRESH_S + 1.0, 100.0):
        world.passed = passed
        assert clock.now() == pytest.approx(world.there + passed)


def test_the_server_is_asked_now_and_then(world):
    clock = world.clock()
    for _ in range(100):
        clock.now()
    assert world.asked == 1
    world.passed += REFRESH_S
    clock.now()
    assert world.asked == 2


def test_the_clock_of_the_machine_may_jump(world):
    clock = world.clock()
    clock.now()
    world.skew_s = -HOUR_S
    assert clock.now() == world.there


def test_a_server_that_goes_away_leaves_its_time(world):
    world.skew_s = HOUR_S
    clock = world.clock()
    clock.now()
    world.away, world.passed = True, 500.0
    assert clock.now() == world.there + 500.0


def test_before_the_first_answer_it_is_the_time_of_the_machine(world):
    world.away, world.skew_s = True, HOUR_S
    clock = world.clock()
    assert clock.now() == world.there + HOUR_S
    world.passed = PAUSE_S - 1
    clock.now()
    assert world.asked == 1  # an answer that does not come takes seconds
    world.away, world.passed = False, PAUSE_S
    assert clock.now() == world.there + PAUSE_S


def test_a_wrong_clock_is_told_once_with_how_wrong_it_is(world):
    world.skew_s = -HOUR_S
    clock = world.clock()
    for _ in range(5):
        clock.now()
        world.passed += REFRESH_S
    assert world.told == [{"clock_skew": {"ahead_s": -3600, "cure": "set the clock of this machine"}}]
    world.skew_s = 0.5  # somebody has set it
    clock.now()
    world.passed, world.skew_s = world.passed + REFRESH_S, 60.0
    clock.now()
    assert [each["clock_skew"]["ahead_s"] for each in world.told] == [-3600, 60]
