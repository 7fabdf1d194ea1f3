"""Numbers are read with points and commas, and never guessed."""

from __future__ import annotations

import math

import pytest

from pose.scan.decimals import parse_number, parse_numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.0E-4", 1e-4), ("-0.0", 0), ("+.5", 0.5), ("5.", 5), ("0,25", 0.25), (",5", 0.5), ("1,5e3", 1500)],
)
def test_a_number(text: str, value: float):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["NaN", "nan", "-Infinity", "inf", "∞", "-nan(ind)", "1.#QNAN", "-1.#IND00", "null", "None"],
)
def test_what_is_written_for_no_value_is_nan(text: str):
    number = parse_number(text)
    assert number is not None and math.isnan(number)


@pytest.mark.parametrize(
    "text", ["", "x", "0x1", "1_0", "1.2.3", "1,234.5", "1,2,3", "--1", "1 2", "7%", "١"]
)
def test_other_words_are_no_numbers(text: str):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "0.1 0.2 0.3 0.4", "0,1 0,2 0,3 0,4", "0.1\t0.2\t0.3\t0.4\t", "0.1,0.2,0.3,0.4", "0.1, 0.2, 0.3, 0.4",
        "0,1;0,2;0,3;0,4;;", "0,1, 0,2, 0,3, 0,4", "0,1,0,2,0,3,0,4", ",0.1,0.2,0.3,0.4,,", ".1 .2 .3 .4",
        ",1 ,2 ,3 ,4", "0.1 ,0.2 ,0.3 ,0.4", "0,1 0.2 0,3 0.4", "0.1|0.2|0.3|0.4", "1E-1;2E-1;3E-1;4E-1",
        "0.1\xa00.2\u202f0.3\u30000.4",
    ],
)  # fmt: skip
def test_four_numbers_however_they_are_separated(text: str):
    assert parse_numbers(text, 4) == [0.1, 0.2, 0.3, 0.4]


def test_commas_between_whole_numbers_separate():
    assert parse_numbers("0,0,0", 3) == [0, 0, 0]
    assert parse_numbers("1, -2, 3", 3) == [1, -2, 3]
    assert parse_numbers("0,0,0,0,0,0", 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0.1 0.2", "numbers: 2"),
        ("0.1 0.2 0.3 0.4", "numbers: 4"),
        ("1 1 1 1 1 1", "numbers: 6"),
        ("0.1 O.2 0.3", "not numbers: word 2 is none"),
        ("0,01,0,02,0", "commas that may be decimal marks or may separate numbers"),
        ("0,1 0,2", "commas that may be decimal marks or may separate numbers"),
        ("0.1,0.2", "numbers: 2"),
    ],
)
def test_what_is_not_certain_is_refused(text: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        parse_numbers(text, 3)
