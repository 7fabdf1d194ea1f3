"""The contract of Ledger for each implementation, and the choice of the implementation."""

from __future__ import annotations

import os
import subprocess
import sys
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
    process_name,
)
from worker.ledger.opening import open_ledger
from worker.ledger.redis import RedisLedger
from worker.ledger.sqlite import SqliteLedger

SCAN = ScanId("scan")
ROOT = Path(__file__).parents[3]
TTL_S = 60.0


@dataclass
class TwoWorkers:
    """One ledger as two workers see it. `expire` lets the time of a scan's lock run out."""

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
def workers(request, tmp_path) -> TwoWorkers:
    if request.param == "file":
        clock, path = Clock(), tmp_path / "run" / "ledger.sqlite"
        return TwoWorkers(
            SqliteLedger(path, TTL_S, clock),
            SqliteLedger(path, TTL_S, clock),
            lambda _: clock.pass_by(TTL_S),
        )
    url = request.getfixturevalue("redis_server").url(9)
    clients = [open_redis(url, decode_responses=True) for _ in range(2)]
    clients[0].flushdb()
    return TwoWorkers(
        RedisLedger(clients[0], TTL_S),
        RedisLedger(clients[1], TTL_S),
        lambda scan_id: clients[0].pexpire(f"pose:lock:{scan_id}", 0),
    )


def taken(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def test_only_one_worker_gets_the_lock(workers):
    with taken(workers.ledger.lock("scan")) as lease:
        assert lease.held()
        assert workers.other.lock("scan") is None
        taken(workers.other.lock("another")).release()
    assert not lease.held()
    taken(workers.other.lock("scan")).release()


def test_another_worker_sees_a_lock_until_it_ends(workers):
    assert not workers.other.is_locked("scan")
    with taken(workers.ledger.lock("scan")):
        assert workers.other.is_locked("scan")
        assert not workers.other.is_locked("another")
        workers.expire("scan")
        assert not workers.other.is_locked("scan")


def test_only_one_of_many_threads_gets_the_lock(workers):
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _: workers.ledger.lock("scan"), range(24)))
    assert len([lease for lease in leases if lease is not None]) == 1


def test_a_lock_without_renewal_expires_and_cannot_be_renewed_afterwards(workers):
    lost = taken(workers.ledger.lock("scan"))
    workers.expire("scan")
    won = taken(workers.other.lock("scan"))
    lost.renew()
    assert not lost.held()
    with pytest.raises(LeaseLost, match="another worker may have it"):
        lost.check()
    lost.release()  # does not release the lock of the other worker
    assert workers.ledger.lock("scan") is None
    won.check()
    won.release()


def test_failures_are_counted_by_process_and_kind(workers):
    ledger, other = workers.ledger, workers.other
    assert not ledger.has_failed("scan", "p1")
    assert ledger.add_failure("scan", "p1", "KeyError") == 1
    assert ledger.add_failure("scan", "p1", "KeyError") == 1
    assert other.add_failure("scan", "p2", "IndexError") == 1
    assert other.add_failure("another", "p2", "KeyError") == 1
    assert other.has_failed("scan", "p1")
    assert not other.has_failed("another", "p1")
    assert other.add_failure("scan", "p2", "KeyError") == 2
    assert ledger.begin("scan") == 0
    ledger.release_quarantine("scan")
    assert not other.has_failed("scan", "p1")
    assert other.add_failure("scan", "p3", "KeyError") == 1


def test_the_name_of_a_process_is_its_own_alone():
    assert process_name() == process_name(os.getpid()) != process_name(os.getpid() + 1)
    assert lock_owner(os.getpid()).startswith(process_name())


def test_a_renewed_lock_stays_and_moves_the_deadline_of_its_scan(workers):
    now = time.time()
    workers.ledger.set_deadline("scan", now - 1)
    with taken(workers.ledger.lock("scan")) as lease:
        lease.renew()
        assert lease.held()
        assert workers.other.lock("scan") is None
        later = Clock.now + TTL_S - 1 if isinstance(workers.ledger, SqliteLedger) else now + TTL_S - 1
        assert workers.other.overdue(later) == []
        assert workers.other.overdue(later + 10) == ["scan"]


def test_a_renewal_does_not_reopen_a_closed_scan(workers):
    with taken(workers.ledger.lock("scan")) as lease:
        lease.renew()
        assert workers.ledger.overdue(float("inf")) == []


def test_a_lock_is_released_for_its_owner_only(workers):
    held = taken(workers.ledger.lock("scan"))
    workers.ledger.release_lock("scan", lock_owner(os.getpid() + 1))
    assert workers.other.lock("scan") is None
    workers.ledger.release_lock("scan", lock_owner(os.getpid()))
    taken(workers.other.lock("scan")).release()
    held.release()


def test_each_begin_without_an_end_counts_as_a_crash(workers):
    ledger = workers.ledger
    assert ledger.begin("scan") == 0
    ledger.end("scan")
    assert [ledger.begin("scan") for _ in range(3)] == [0, 1, 2]
    ledger.end("scan")
    assert workers.other.begin("scan") == 2
    assert ledger.begin("another") == 0


def test_an_end_without_a_begin_changes_nothing(workers):
    for _ in range(3):
        workers.ledger.end("scan")
    assert workers.ledger.begin("scan") == 0


def test_releasing_the_quarantine_forgets_the_reason_and_the_crashes(workers):
    ledger = workers.ledger
    ledger.begin("scan")
    assert ledger.quarantine_reason("scan") is None
    ledger.quarantine("scan", "poison: …")
    assert workers.other.quarantine_reason("scan") == "poison: …"
    assert ledger.begin("scan") == 1
    assert ledger.quarantine_reason("scan") == "poison: …"
    ledger.release_quarantine("scan")
    assert (ledger.quarantine_reason("scan"), ledger.begin("scan")) == (None, 0)


def test_a_scan_that_never_began_can_be_quarantined(workers):
    workers.ledger.quarantine("scan", "it took too long")
    assert workers.ledger.quarantine_reason("scan") == "it took too long"
    workers.ledger.begin("crashed-once")
    assert workers.other.count_quarantined() == 1
    assert workers.ledger.begin("scan") == 0


def test_open_scans_are_overdue_after_their_deadline_until_they_are_closed(workers):
    ledger = workers.ledger
    for scan_id, until in (("late", 20.0), ("later", 30.0), ("first", 10.5)):
        ledger.set_deadline(scan_id, until)
    assert ledger.overdue(10.4) == []
    assert ledger.overdue(20.0) == ["first", "late"]
    assert ledger.overdue(float("inf"), limit=2) == ["first", "late"]
    workers.other.set_deadline("first", 100.0)
    workers.other.close("late")
    assert ledger.overdue(99.0) == ["later"]
    assert ledger.is_open("first") and not ledger.is_open("late")
    ledger.close("nothing")


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "*", "scan\n", "a:b"])
def test_a_stored_name_that_is_no_scan_id_is_never_overdue(workers, name):
    workers.ledger.set_deadline(name, 1.0)  # as if another program had written it
    workers.ledger.set_deadline("scan", 2.0)
    assert workers.ledger.overdue(3.0) == ["scan"]


def test_scans_are_announced_together(workers):
    ledger, names = workers.ledger, [ScanId(f"scan-{number}") for number in range(1100)]
    ledger.ask_cancel(names[0])
    ledger.quarantine(names[1], "poison")
    ledger.open_scans(names, 50.0)
    assert ledger.deadlines(60.0, 2000) == dict.fromkeys(names, 50.0)
    assert not ledger.is_cancel_asked(names[0])
    assert ledger.quarantine_reason(names[1]) == "poison"
    ledger.open_scans(names[:2], 70.0, release=True)
    assert ledger.quarantine_reason(names[1]) is None
    assert ledger.deadlines(float("inf"), 2000, after=60.0) == dict.fromkeys(names[:2], 70.0)


def test_there_is_one_reconciler_at_a_time(workers):
    with taken(workers.ledger.lock(RECONCILER)):
        assert workers.other.lock(RECONCILER) is None


STEPS: list[Callable[[Ledger], Any]] = [
    lambda ledger: ledger.lock(SCAN),
    lambda ledger: ledger.release_lock(SCAN, "x"),
    lambda ledger: ledger.begin(SCAN),
    lambda ledger: ledger.end(SCAN),
    lambda ledger: ledger.quarantine(SCAN, "…"),
    lambda ledger: ledger.quarantine_reason(SCAN),
    lambda ledger: ledger.count_quarantined(),
    lambda ledger: ledger.release_quarantine(SCAN),
    lambda ledger: ledger.set_deadline(SCAN, 1.0),
    lambda ledger: ledger.close(SCAN),
    lambda ledger: ledger.is_open(SCAN),
    lambda ledger: ledger.overdue(1.0),
]


@pytest.mark.parametrize("step", STEPS)
def test_an_unreachable_ledger_is_reported_without_its_address(tmp_path, step):
    away = open_redis("redis://:hunter2@127.0.0.1:1/0", decode_responses=True)
    with pytest.raises(LedgerUnavailable, match=r"^Redis .* cannot be used: ConnectionError$"):
        step(RedisLedger(away, TTL_S))
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnavailable, match=r"RUN_DIR cannot be used: (Not a dir|File ex)"):
        step(SqliteLedger(tmp_path / "file" / "ledger.sqlite", TTL_S))
    (tmp_path / "no.sqlite").write_text("this is no database, and it is long enough to be one " * 40)
    with pytest.raises(LedgerUnavailable, match="RUN_DIR cannot be used: file is not a database"):
        step(SqliteLedger(tmp_path / "no.sqlite", TTL_S))


def test_the_time_of_redis_counts_and_not_the_time_here(redis_server, monkeypatch):
    ledger = RedisLedger(open_redis(redis_server.url(9), decode_responses=True), TTL_S)
    seconds, _ = redis_server.client(9).time()
    monkeypatch.setattr(time, "time", lambda: 5e9)
    assert seconds - 1 <= ledger.now() <= seconds + 60
    ledger.set_deadline(SCAN, ledger.now())
    lease = ledger.lock(SCAN)
    assert lease is not None
    with lease:
        lease.renew()
    assert seconds - 1 + TTL_S <= ledger.deadlines(float("inf"), 1)[SCAN] <= seconds + 60 + TTL_S


def test_locks_crashes_and_deadlines_survive_a_restart_of_redis():
    with RedisServer() as server:
        ledger = RedisLedger(open_redis(server.url(), decode_responses=True), TTL_S)
        ledger.set_deadline(SCAN, 5.0)
        ledger.begin(SCAN)
        lease = taken(ledger.lock(SCAN))
        server.stop()
        lease.renew()
        assert lease.held()  # Redis is down, but the time is not up
        server.start()
        lease.renew()
        lease.check()
        assert ledger.lock(SCAN) is None
        assert ledger.overdue(9.0) == []  # the renewed lock has moved the deadline
        assert ledger.begin(SCAN) == 1
        lease.release()


def test_redis_keys_have_a_prefix_and_expire_unless_the_scan_is_open(redis_server):
    client = open_redis(redis_server.url(9), decode_responses=True)
    client.flushdb()
    ledger = RedisLedger(client, TTL_S)
    ledger.begin(SCAN)
    ledger.set_deadline(SCAN, 1.0)
    with taken(ledger.lock(SCAN)):
        assert sorted(client.keys()) == ["pose:deaths:scan", "pose:lock:scan", "pose:open"]
        assert 0 < client.pttl("pose:lock:scan") <= TTL_S * 1000
    assert 86_400 < client.ttl("pose:deaths:scan") <= 7 * 86_400


def test_a_lock_in_the_file_is_free_once_its_process_has_died(tmp_path):
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


def test_only_processes_of_this_machine_are_known_to_be_dead():
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


def test_the_ledger_is_in_redis_if_one_is_configured_else_in_the_run_dir(tmp_path):
    settings = read_settings(run_dir=tmp_path)
    ledger = open_ledger(settings)
    assert isinstance(ledger, SqliteLedger)
    ledger.set_deadline(SCAN, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
    assert open_ledger(settings) is ledger
    assert isinstance(open_ledger(read_settings(redis_url="redis://127.0.0.1:1/0")), RedisLedger)


def test_a_forgotten_scan_has_no_entries(workers):
    workers.ledger.set_deadline("scan", 5.0)
    workers.ledger.set_deadline("other", 5.0)
    workers.ledger.quarantine("scan", "poison")
    workers.ledger.set_cursor("work", "scan")
    assert workers.other.forget("scan") == 3
    assert workers.ledger.forget("scan") == 0
    assert workers.ledger.quarantine_reason("scan") is None
    assert workers.ledger.overdue(10.0) == ["other"]
    assert workers.ledger.cursor("work") == ""


def test_a_cursor_is_kept_until_the_end_is_reached(workers):
    assert workers.ledger.cursor("work") is None
    workers.ledger.set_cursor("work", "scan")
    assert (workers.other.cursor("work"), workers.other.cursor("another")) == ("scan", None)
    workers.ledger.set_cursor("work", None)
    assert workers.other.cursor("work") is None


def test_regular_work_begins_once_within_its_time(workers):
    assert workers.ledger.begins("work", 600.0)
    assert not workers.other.begins("work", 600.0)
    assert workers.other.begins("another", 0.001)
    time.sleep(0.01)
    workers.expire("scan")  # lets the clock of the ledger in a file go on
    assert workers.ledger.begins("another", 600.0)


def test_the_wish_to_cancel_is_kept_until_it_is_forgotten(workers):
    assert not workers.ledger.is_cancel_asked("scan")
    workers.ledger.ask_cancel("scan")
    assert (workers.other.is_cancel_asked("scan"), workers.other.is_cancel_asked("other")) == (True, False)
    workers.other.forget_cancel("scan")
    assert not workers.ledger.is_cancel_asked("scan")
