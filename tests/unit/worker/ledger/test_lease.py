from __future__ import annotations

import threading
import time

import pytest

from tests.support.exhausted import no_thread_left
from worker.ledger.base import Lease, LedgerUnavailable


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Renewals:
    """The ledger's side of a lease: gives these answers to its renewals and counts its releases."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.released = 0

    def renew(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def lease_of():
    """Return a function that makes leases of 600 s. They are released at the end of the test."""
    leases = []

    def begin(renewals: Renewals, clock: Clock) -> Lease:
        leases.append(Lease("scan", 600.0, renewals.renew, renewals.release, clock(), clock))
        return leases[-1]

    yield begin
    for lease in leases:
        lease.release()


def test_a_lock_whose_thread_cannot_be_started_is_released_at_once(lease_of):
    clock, renewals = Clock(), Renewals()
    with no_thread_left(), pytest.raises(RuntimeError):
        lease_of(renewals, clock)
    assert renewals.released == 1


def test_a_lease_without_renewal_ends_when_its_time_is_up(lease_of):
    clock, renewals = Clock(), Renewals()
    lease = lease_of(renewals, clock)
    clock.pass_by(599)
    assert lease.held()
    clock.pass_by(1)
    assert not lease.held()


def test_a_lease_survives_an_unavailable_ledger_until_its_time_is_up(lease_of):
    clock, renewals = Clock(), Renewals(LedgerUnavailable("away"), True, LedgerUnavailable("away"))
    lease = lease_of(renewals, clock)
    clock.pass_by(400)
    lease.renew()
    assert lease.held()
    clock.pass_by(199)
    lease.renew()  # lives from now on for another 600 s
    clock.pass_by(599)
    lease.renew()
    assert lease.held()
    clock.pass_by(1)
    assert not lease.held()


def test_a_lease_renews_itself_until_it_is_released():
    asked = threading.Event()

    def renew() -> bool:
        asked.set()
        return True

    with Lease("scan", 0.03, renew, lambda: None, time.monotonic()) as lease:
        assert asked.wait(60)
    lease._thread.join(60)  # one more renewal may be under way
    assert not lease._thread.is_alive()


def test_a_lost_lease_is_not_released_and_a_held_one_only_once(lease_of):
    renewals = Renewals(False)
    lease = lease_of(renewals, Clock())
    lease.renew()
    lease.release()
    assert renewals.released == 0
    lease = lease_of(renewals, Clock())
    lease.release()
    lease.release()
    assert renewals.released == 1
