from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from worker.time_limit import SIGNAL, TimeLimit, TimeLimitReached, blamed_on


def strike() -> None:
    os.kill(os.getpid(), SIGNAL)


def test_it_interrupts_where_it_may_and_no_library_swallows_it():
    with TimeLimit() as limit, pytest.raises(TimeLimitReached) as reached, limit.interrupting():
        try:
            strike()
        except Exception:  # as botocore does
            pytest.fail("it was swallowed")
    assert reached.value.storage is None


def test_elsewhere_it_waits_until_it_may():
    with TimeLimit() as limit:
        strike()
        with pytest.raises(TimeLimitReached), limit.interrupting():
            pytest.fail("it came too late")
        strike()


def test_one_that_got_lost_is_raised_at_the_next_check():
    with TimeLimit() as limit, pytest.raises(TimeLimitReached), limit.interrupting():
        with suppress(TimeLimitReached):  # as in a destructor
            strike()
        limit.check()


def test_afterwards_the_signal_is_handled_as_before():
    before = signal.getsignal(SIGNAL)
    with TimeLimit():
        assert signal.getsignal(SIGNAL) != before
    assert signal.getsignal(SIGNAL) == before


def test_in_another_thread_there_is_no_limit():
    done = []

    def work() -> None:
        with TimeLimit() as limit, limit.interrupting():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


def test_the_storage_in_use_is_named():
    with pytest.raises(TimeLimitReached) as reached, blamed_on("the storage of results"):
        raise TimeLimitReached
    assert reached.value.storage == "the storage of results"
