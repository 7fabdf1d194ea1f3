"""A signal ends the command between two steps."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pose.cli.interrupts import Interrupted, Interrupts

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_ends_the_work_once(number):
    before = [signal.getsignal(each) for each in ALL]
    with pytest.raises(Interrupted) as stop, Interrupts():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # impatient: what ends is not disturbed
    assert stop.value.number == number
    assert [signal.getsignal(each) for each in ALL] == before


def test_a_signal_waits_for_the_end_of_a_step_that_writes():
    done = []
    with pytest.raises(Interrupted, match="SIGTERM"), Interrupts() as interrupts, interrupts.hold():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("written")
    assert done == ["written"]


def test_an_ignored_signal_remains_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_than_the_main_one_sets_no_handlers():
    def enter():
        with Interrupts():
            done.append(signal.getsignal(signal.SIGTERM))

    done: list[object] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGTERM)]
