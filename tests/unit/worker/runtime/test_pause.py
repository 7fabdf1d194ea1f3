"""When a worker stops taking scans, and when it goes on: by reports, and a clock that is moved by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker import state

from worker.runtime import pause
from worker.runtime.pause import MAX_PAUSE_S, PAUSE_S, PauseIntake
from worker.runtime.reports import Condition, Kind, Report


class Queues:
    """As much of kombu's consumer as is used here."""

    def __init__(self) -> None:
        self.queues = [SimpleNamespace(name="celery")]
        self.consuming = True

    def consuming_from(self, _: str) -> bool:
        return self.consuming

    def cancel(self) -> None:
        self.consuming = False

    def consume(self) -> None:
        self.consuming = True


class Request:
    """A message that waits for a process."""

    acknowledged = False

    def reject(self, requeue: bool) -> None:
        assert requeue
        self.acknowledged = True


class World:
    """A worker's parent process."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reports: list[Report] = []
        self.consumer = SimpleNamespace(task_consumer=Queues())
        self.step = PauseIntake(self.consumer)

    def tick(self, *kinds: Kind) -> bool:
        """Let these reports come; return whether it takes scans after that."""
        self.reports = [Report(kind, "no device") for kind in kinds]
        self.step._tick(self.consumer)
        return self.consumer.task_consumer.consuming


@pytest.fixture
def world(monkeypatch) -> World:
    world = World()
    monkeypatch.setattr(pause, "read_reports", lambda: iter(world.reports))
    monkeypatch.setattr(pause, "condition", Condition())
    monkeypatch.setattr(pause.time, "monotonic", lambda: world.now)
    for name in ("reserved_requests", "active_requests"):
        monkeypatch.setattr(state, name, set())
    return world


def test_it_pauses_after_three_processes_in_a_row_and_gives_back_what_waits(world):
    assert world.tick(Kind.UNFIT, Kind.READY, Kind.UNFIT, Kind.DONE, Kind.UNFIT, Kind.UNFIT)
    waits, runs = Request(), Request()
    state.reserved_requests.update({waits, runs})
    state.active_requests.add(runs)
    assert not world.tick(Kind.UNFIT)
    assert (waits.acknowledged, runs.acknowledged) == (True, False)


def test_after_the_pause_it_tries_again_and_pauses_for_longer_each_time(world):
    world.tick(*[Kind.UNFIT] * 3)
    for length in (PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S, 8 * PAUSE_S, MAX_PAUSE_S, MAX_PAUSE_S):
        world.now += length - 1
        assert not world.tick(Kind.READY)
        world.now += 1
        assert world.tick()
        assert pause.condition.problem is None
        assert not world.tick(Kind.UNFIT)
        assert str(pause.condition.problem).endswith("no device")
    world.now += MAX_PAUSE_S
    world.tick(Kind.READY)
    world.tick(Kind.DONE, *[Kind.UNFIT] * 3)
    world.now += PAUSE_S
    assert world.tick(Kind.READY)


def test_a_scan_that_another_process_finished_ends_the_pause(world):
    assert not world.tick(*[Kind.UNFIT] * 3)
    assert world.tick(Kind.DONE)


def test_a_connection_that_was_lost_does_not_end_it(world):
    world.tick(*[Kind.UNFIT] * 3)
    world.consumer.task_consumer = Queues()
    assert not world.tick()


def test_without_a_process_that_works_it_pauses_on(world):
    world.tick(*[Kind.UNFIT] * 3)
    world.now += 10 * PAUSE_S
    assert not world.tick()
