"""The contract of Ledger, over each of its implementations; the lease's own clock; which one is opened."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from worker.config.redis_client import open_redis
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.base import (
    RECONCILER,
    Lease,
    LeaseLost,
    Ledger,
    LedgerUnavailable,
    has_died,
    is_alive,
    lock_owner,
    new_token,
)
from worker.ledger.opening import open_ledger
from worker.ledger.redis import RedisLedger
from worker.ledger.sqlite import SqliteLedger

SCAN = ScanId("scan")

ROOT = Path(__file__).parents[3]
TTL_S = 60.0


@dataclass
class Place:
    """A ledger; `other`, the same one as another worker sees it; and time that runs out."""

    ledger: Ledger
    other: Ledger
    expire: Callable[[str], Any]


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(params=["file", "redis"])
def place(request, tmp_path) -> Place:
    if request.param == "file":
        clock, path = Clock(), tmp_path / "run" / "ledger.sqlite"
        return Place(
            SqliteLedger(path, TTL_S, clock),
            SqliteLedger(path, TTL_S, clock),
            lambda _: clock.pass_by(TTL_S),
        )
    url = request.getfixturevalue("redis_server").url(9)
    clients = [open_redis(url, decode_responses=True) for _ in range(2)]
    clients[0].flushdb()
    return Place(
        RedisLedger(clients[0], TTL_S),
        RedisLedger(clients[1], TTL_S),
        lambda scan_id: clients[0].pexpire(f"pose:lock:{scan_id}", 0),
    )


def taken(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def test_one_has_the_lock_and_nobody_else(place):
    with taken(place.ledger.lock("scan")) as lease:
        assert lease.held()
        assert place.other.lock("scan") is None
        taken(place.other.lock("another")).release()
    assert not lease.held()
    taken(place.other.lock("scan")).release()


def test_of_many_at_once_one_gets_it(place):
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _: place.ledger.lock("scan"), range(24)))
    assert len([lease for lease in leases if lease is not None]) == 1


def test_a_lock_that_is_not_renewed_is_free_for_another_and_cannot_be_renewed_then(place):
    lost = taken(place.ledger.lock("scan"))
    place.expire("scan")
    won = taken(place.other.lock("scan"))
    lost.renew()
    assert not lost.held()
    with pytest.raises(LeaseLost, match="another worker may have it"):
        lost.check()
    lost.release()  # and does not release the other's
    assert place.ledger.lock("scan") is None
    won.check()
    won.release()


def test_a_lock_that_is_renewed_stays_and_answers_for_its_scan(place):
    now = time.time()
    place.ledger.set_deadline("scan", now - 1)
    with taken(place.ledger.lock("scan")) as lease:
        lease.renew()
        assert lease.held()
        assert place.other.lock("scan") is None
        later = Clock.now + TTL_S - 1 if isinstance(place.ledger, SqliteLedger) else now + TTL_S - 1
        assert place.other.overdue(later) == []
        assert place.other.overdue(later + 10) == ["scan"]


def test_a_lock_does_not_open_a_scan_that_is_closed(place):
    with taken(place.ledger.lock("scan")) as lease:
        lease.renew()
        assert place.ledger.overdue(float("inf")) == []


def test_the_lock_of_a_process_that_died_can_be_let_go_by_who_knows(place):
    held = taken(place.ledger.lock("scan"))
    place.ledger.release_lock("scan", lock_owner(os.getpid() + 1))
    assert place.other.lock("scan") is None
    place.ledger.release_lock("scan", lock_owner(os.getpid()))
    taken(place.other.lock("scan")).release()
    held.release()


def test_deaths_are_counted_before_and_an_orderly_end_is_none(place):
    ledger = place.ledger
    assert ledger.begin("scan") == 0
    ledger.end("scan")
    assert [ledger.begin("scan") for _ in range(3)] == [0, 1, 2]
    ledger.end("scan")
    assert place.other.begin("scan") == 2
    assert ledger.begin("another") == 0


def test_an_end_without_a_beginning_counts_nothing(place):
    for _ in range(3):
        place.ledger.end("scan")
    assert place.ledger.begin("scan") == 0


def test_a_pardon_forgets_deaths_and_why_it_was_set_aside(place):
    ledger = place.ledger
    ledger.begin("scan")
    assert ledger.quarantine_reason("scan") is None
    ledger.quarantine("scan", "poison: …")
    assert place.other.quarantine_reason("scan") == "poison: …"
    assert ledger.begin("scan") == 1
    assert ledger.quarantine_reason("scan") == "poison: …"
    ledger.release_quarantine("scan")
    assert (ledger.quarantine_reason("scan"), ledger.begin("scan")) == (None, 0)


def test_a_scan_may_be_set_aside_that_never_began(place):
    place.ledger.quarantine("scan", "it took too long")
    assert place.ledger.quarantine_reason("scan") == "it took too long"
    assert place.ledger.begin("scan") == 0


def test_open_scans_are_overdue_from_their_time_on_until_they_are_closed(place):
    ledger = place.ledger
    for scan_id, until in (("late", 20.0), ("later", 30.0), ("first", 10.5)):
        ledger.set_deadline(scan_id, until)
    assert ledger.overdue(10.4) == []
    assert ledger.overdue(20.0) == ["first", "late"]
    assert ledger.overdue(float("inf"), limit=2) == ["first", "late"]
    place.other.set_deadline("first", 100.0)
    place.other.close("late")
    assert ledger.overdue(99.0) == ["later"]
    assert ledger.is_open("first") and not ledger.is_open("late")
    ledger.close("nothing")


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "*", "scan\n", "a:b"])
def test_a_stored_name_that_is_no_scan_id_is_never_overdue(place, name):
    place.ledger.set_deadline(name, 1.0)  # as if another program had written it
    place.ledger.set_deadline("scan", 2.0)
    assert place.ledger.overdue(3.0) == ["scan"]


def test_there_is_one_reconciler_at_a_time(place):
    with taken(place.ledger.lock(RECONCILER)):
        assert place.other.lock(RECONCILER) is None


STEPS: list[Callable[[Ledger], Any]] = [
    lambda ledger: ledger.lock(SCAN),
    lambda ledger: ledger.begin(SCAN),
    lambda ledger: ledger.end(SCAN),
    lambda ledger: ledger.quarantine(SCAN, "…"),
    lambda ledger: ledger.quarantine_reason(SCAN),
    lambda ledger: ledger.release_quarantine(SCAN),
    lambda ledger: ledger.set_deadline(SCAN, 1.0),
    lambda ledger: ledger.close(SCAN),
    lambda ledger: ledger.overdue(1.0),
    lambda ledger: ledger.release_lock(SCAN, "x"),
]


@pytest.mark.parametrize("step", STEPS)
def test_one_that_is_away_says_so_and_names_no_address(tmp_path, step):
    away = open_redis("redis://:hunter2@127.0.0.1:1/0", decode_responses=True)
    with pytest.raises(LedgerUnavailable, match=r"^Redis .* cannot be used: ConnectionError$"):
        step(RedisLedger(away, TTL_S))
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match=r"RUN_DIR cannot be used: (Not a dir|File ex)"):
        step(SqliteLedger(tmp_path / "file" / "ledger.sqlite", TTL_S))
    (tmp_path / "no.sqlite").write_text("this is no database, and it is long enough to be one " * 40)
    with pytest.raises(LedgerUnavailable, match="RUN_DIR cannot be used: file is not a database"):
        step(SqliteLedger(tmp_path / "no.sqlite", TTL_S))


def test_what_redis_knows_survives_its_restart():
    with RedisServer() as server:
        ledger = RedisLedger(open_redis(server.url(), decode_responses=True), TTL_S)
        ledger.set_deadline(SCAN, 5.0)
        ledger.begin(SCAN)
        lease = taken(ledger.lock(SCAN))
        server.stop()
        lease.renew()
        assert lease.held()  # away for a moment is not lost
        server.start()
        lease.renew()
        lease.check()
        assert ledger.lock(SCAN) is None
        assert ledger.overdue(9.0) == []  # the lock answers for it
        assert ledger.begin(SCAN) == 1
        lease.release()


def test_keys_in_redis_are_ours_and_those_that_may_go_end_by_themselves(redis_server):
    client = open_redis(redis_server.url(9), decode_responses=True)
    client.flushdb()
    ledger = RedisLedger(client, TTL_S)
    ledger.begin(SCAN)
    ledger.set_deadline(SCAN, 1.0)
    with taken(ledger.lock(SCAN)):
        assert sorted(client.keys()) == ["pose:deaths:scan", "pose:lock:scan", "pose:open"]
        assert 0 < client.pttl("pose:lock:scan") <= TTL_S * 1000
    assert 86_400 < client.ttl("pose:deaths:scan") <= 7 * 86_400


class Renewals:
    """What a lease asks of its ledger, each answer when it is due."""

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
    """Leases of 600 s by a clock of the test; released at its end, so that no thread renews them later."""
    leases = []

    def begin(renewals: Renewals, clock: Clock) -> Lease:
        leases.append(Lease("scan", 600.0, renewals.renew, renewals.release, clock(), clock))
        return leases[-1]

    yield begin
    for lease in leases:
        lease.release()


def test_a_process_that_was_stopped_for_too_long_knows_that_its_lease_is_over(lease_of):
    clock, renewals = Clock(), Renewals()
    lease = lease_of(renewals, clock)
    clock.pass_by(599)
    assert lease.held()
    clock.pass_by(1)
    assert not lease.held()


def test_a_ledger_that_is_away_costs_the_lease_once_its_time_is_up(lease_of):
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
    lease._thread.join(60)  # it may have been about to renew it once more
    assert not lease._thread.is_alive()


def test_a_lease_that_was_lost_is_not_given_back_and_one_that_is_held_is_once(lease_of):
    renewals = Renewals(False)
    lease = lease_of(renewals, Clock())
    lease.renew()
    lease.release()
    assert renewals.released == 0
    lease = lease_of(renewals, Clock())
    lease.release()
    lease.release()
    assert renewals.released == 1


def test_a_lock_in_a_file_is_free_once_its_process_is_gone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    code = (
        "import os, pathlib, worker.ledger.sqlite as l\n"
        f"lease = l.SqliteLedger(pathlib.Path({str(path)!r}), 3600).lock('scan')\n"
        "assert lease is not None\nprint('locked', flush=True)\ninput()\nos._exit(9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        ledger = SqliteLedger(path, TTL_S)
        assert ledger.lock(SCAN) is None
        process.communicate("\n", timeout=60)
    taken(ledger.lock(SCAN)).release()


def test_whether_a_process_lives_is_told_of_this_machine_only():
    assert is_alive(os.getpid())
    assert not has_died(new_token())
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, until somebody waits for it
    assert not is_alive(process.pid)
    token = f"{lock_owner(process.pid)}x"
    assert has_died(token)
    assert not has_died(f"elsewhere{token}")
    process.wait()
    assert not is_alive(process.pid)


def test_the_ledger_is_in_redis_where_there_is_one_else_in_the_run_dir(tmp_path):
    settings = read_settings(run_dir=tmp_path)
    ledger = open_ledger(settings)
    assert isinstance(ledger, SqliteLedger)
    ledger.set_deadline(SCAN, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
    assert open_ledger(settings) is ledger
    assert isinstance(open_ledger(read_settings(redis_url="redis://127.0.0.1:1/0")), RedisLedger)
