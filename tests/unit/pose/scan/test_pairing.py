"""Pictures and depth maps are paired by the nearest time, whatever the order of the files."""

from __future__ import annotations

import random
from decimal import Decimal

from pose.scan.pairing import nearest_pair, nearest_pairs


def at(**times: str) -> list[tuple[Decimal, str]]:
    return [(Decimal(time), name) for name, time in times.items()]


def test_the_nearest_are_paired_first_and_nothing_twice():
    pictures, depths = at(a="1.00", b="1.07"), at(x="1.06", y="1.16")
    assert nearest_pairs(pictures, depths, Decimal("0.1")) == [("b", "x")]
    assert nearest_pairs(pictures, depths, Decimal("0.2")) == [("b", "x"), ("a", "y")]


def test_the_limit_is_exact():
    limit = Decimal("0.1")
    assert nearest_pairs(at(a="668549.9"), at(x="668550.0"), limit) == [("a", "x")]
    assert nearest_pairs(at(a="668549.9"), at(x="668550.000001"), limit) == []


def test_pairs_do_not_depend_on_the_order_of_files():
    rng = random.Random(1)
    pictures = at(**{f"p{n}": f"{rng.randrange(200) / 100}" for n in range(30)})
    depths = at(**{f"d{n}": f"{rng.randrange(200) / 100}" for n in range(30)})
    pairs = nearest_pairs(pictures, depths, Decimal("0.1"))
    assert len(pairs) > 15
    for _ in range(20):
        rng.shuffle(pictures)
        rng.shuffle(depths)
        assert nearest_pairs(pictures, depths, Decimal("0.1")) == pairs


def test_the_nearest_pair_of_a_frame_is_within_a_minute():
    times = {"a": 1000.0, "b": 1030.0, "c": None}
    assert nearest_pair({"rgb": times, "depth": {"z": 1050.0, "x": 1080.0}}) == ("b", "z")
    assert nearest_pair({"rgb": times, "depth": {"z": 1090.0, "y": 940.0}}) == ("a", "y")
    assert nearest_pair({"rgb": times, "depth": {"z": 1090.1}}) is None


def test_a_name_that_is_alike_counts_without_a_time_and_decides_between_equal_ones():
    assert nearest_pair({"rgb": {"a.jpg": None, "b.jpg": None}, "depth": {"depth/B.depth": None}}) == (
        "b.jpg",
        "depth/B.depth",
    )
    assert nearest_pair({"rgb": {"a": 1.0, "b": 1.0}, "depth": {"b.depth": 2.0}}) == ("b", "b.depth")
    assert nearest_pair({"rgb": {"a": 1.9, "b": 1.0}, "depth": {"b.depth": 2.0}}) == ("a", "b.depth")
    assert nearest_pair({"rgb": {"a": None, "c": None}, "depth": {"b": None}}) is None
