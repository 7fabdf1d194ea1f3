from __future__ import annotations

import json

import pytest

from worker.scans.retry import MAX_DELAY_S, RetryState, retry_delay_s


@pytest.mark.parametrize(
    "header", [None, 3, [], [1, 2], [0, 0, None], [1, -1, None], ["1", 0, None], [True, 0, None], {"a": 1}]
)
def test_an_invalid_header_means_a_first_attempt(header):
    assert RetryState.from_header(header) == RetryState()


@pytest.mark.parametrize("since", [float("nan"), float("inf"), "x", True, 3])
def test_an_invalid_time_in_a_header_is_dropped(since):
    assert RetryState.from_header([4, 2, since]) == RetryState(4, 2, None)


@pytest.mark.parametrize("state", [RetryState(), RetryState(3, 4, 5.5)])
def test_a_header_is_read_as_it_was_written(state):
    assert RetryState.from_header(json.loads(json.dumps(state.to_header()))) == state


def test_the_delay_doubles_up_to_a_minute_and_has_jitter():
    longest = [retry_delay_s(attempt, 2.0, jitter=lambda: 1.0) for attempt in range(2, 12)]
    shortest = [retry_delay_s(attempt, 2.0, jitter=lambda: 0.0) for attempt in range(2, 12)]
    assert longest[:6] == [2, 4, 8, 16, 32, MAX_DELAY_S]
    assert shortest == [each / 2 for each in longest]
    assert retry_delay_s(10_000, 60.0) <= MAX_DELAY_S
