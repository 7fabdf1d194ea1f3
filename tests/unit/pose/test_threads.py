"""Several things are done at a time, and their results come in order."""

import threading
from collections.abc import Iterator

import cv2
import pytest

from pose.threads import MOST, in_threads, set_threads


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("two_threads")
def test_two_things_are_done_at_a_time_and_come_in_order():
    both, later = threading.Barrier(2, timeout=30), threading.Event()

    def work(number):
        both.wait()  # returns only if two threads wait
        if number == 0:
            assert later.wait(30)
        else:
            later.set()  # the second one ends first
        return number, threading.get_ident()

    (first, a), (second, b) = in_threads(work, [0, 1])
    assert (first, second) == (0, 1)
    assert len({a, b, threading.get_ident()}) == 3


@pytest.mark.usefixtures("two_threads")
def test_an_error_comes_in_its_turn_and_ends_the_rest():
    done = []

    def work(number):
        if number == 1:
            raise OSError("no")
        done.append(number)
        return number

    results = in_threads(work, range(1000))
    assert next(results) == 0
    with pytest.raises(OSError, match="no"):
        next(results)
    assert len(done) < 1000


def test_one_thread_is_the_calling_one():
    assert set(in_threads(lambda _: threading.get_ident(), [1, 2, 3])) == {threading.get_ident()}


def test_a_number_of_threads_is_chosen_and_opencv_gets_one_in_each(monkeypatch):
    monkeypatch.setattr("pose.threads._Chosen.threads", None)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        set_threads(3)
        assert cv2.getNumThreads() == 1
        assert len(set(in_threads(lambda _: threading.get_ident(), range(200)))) <= 3
        set_threads(1)
        assert set(in_threads(lambda _: threading.get_ident(), range(9))) == {threading.get_ident()}
    finally:
        cv2.setNumThreads(before)


def test_no_more_threads_than_memory_allows():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(64)
        assert len(set(in_threads(lambda _: threading.get_ident(), range(200)))) <= MOST
    finally:
        cv2.setNumThreads(before)
