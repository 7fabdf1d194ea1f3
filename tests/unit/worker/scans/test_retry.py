from __future__ import annotations

import json

import pytest

from worker.config.settings import read_settings
from worker.scans.retry import (
    MAX_DELAY_S,
    RetryState,
    retry_after_error,
    retry_delay_s,
    retry_incomplete,
)


@pytest.mark.parametrize(
    "header", [None, 3, [], [1, 2], [0, 0, None], [1, -1, None], ["1", 0, None], [True, 0, None], {"a": 1}]
)
def test_an_invalid_header_means_a_first_attempt(header):
    assert RetryState.from_header(header) == RetryState()


@pytest.mark.parametrize("since", [float("nan"), float("inf"), "x", True, 3])
def test_an_invalid_time_in_a_header_is_dropped(since):
    assert RetryState.from_header([4, 2, since]) == RetryState(4, 2, None)


@pytest.mark.parametrize(
    "header", [[2, 0, None, 2, None], [2, 0, None, -1, None], [2, 0, None, "1", None], [2, 0, None, 1]]
)
def test_an_invalid_count_of_misses_means_a_first_attempt(header):
    assert RetryState.from_header(header) == RetryState()


@pytest.mark.parametrize("state", [RetryState(), RetryState(3, 4, 5.5), RetryState(3, 4, 5.5, 2, 6.5)])
def test_a_header_is_read_as_it_was_written(state):
    assert RetryState.from_header(json.loads(json.dumps(state.to_header()))) == state


def test_missing_files_and_errors_have_clocks_of_their_own():
    settings = read_settings(max_attempts=3, retry_total_s=100.0, incomplete_s=900.0)
    state = RetryState()
    for second in range(0, 800, 100):
        waiting = retry_incomplete(state, "files are missing", settings, 1000.0 + second)
        assert waiting is not None
        state = waiting.state
    # The first error after 800 s of waiting is the first of three, and has 100 s.
    later = retry_after_error(state, "the storage is away", settings, 1800.0)
    assert later is not None
    assert later.delay_s <= settings.retry_base_s
    assert later.state == RetryState(10, 0, 1800.0, 8, 1000.0)
    assert retry_after_error(later.state, "the storage is away", settings, 1899.9) is None
    again = retry_after_error(later.state, "the storage is away", settings, 1801.0)
    assert again is not None
    assert retry_after_error(again.state, "the storage is away", settings, 1802.0) is None
    # And the errors do not lengthen the time for the files.
    assert retry_incomplete(again.state, "files are missing", settings, 1900.0) is None


def test_a_time_from_the_future_makes_no_scan_wait_for_ever():
    settings = read_settings(max_attempts=9, retry_total_s=100.0, incomplete_s=100.0)
    ahead = RetryState(2, 0, 9e9, 1, 9e9)
    for retry in (retry_after_error, retry_incomplete):
        later = retry(ahead, "why", settings, 1000.0)
        assert later is not None
        assert retry(later.state, "why", settings, 1101.0) is None


def test_the_delay_doubles_up_to_a_minute_and_has_jitter():
    longest = [retry_delay_s(attempt, 2.0, jitter=lambda: 1.0) for attempt in range(2, 12)]
    shortest = [retry_delay_s(attempt, 2.0, jitter=lambda: 0.0) for attempt in range(2, 12)]
    assert longest[:6] == [2, 4, 8, 16, 32, MAX_DELAY_S]
    assert shortest == [each / 2 for each in longest]
    assert retry_delay_s(10_000, 60.0) <= MAX_DELAY_S
