"""Timing stages, with a clock that is handed in."""

from pose.analysis.stopwatch import Stopwatch


class Clock:
    now = 10.0

    def __call__(self):
        return self.now


def test_repeated_stages_are_added_up_and_the_total_is_all_time():
    clock = Clock()
    watch = Stopwatch(clock=clock)
    for _ in range(2):
        with watch("lift"):
            clock.now += 0.25
    clock.now += 0.5
    assert watch.timings() == {"lift": 500.0, "total": 1000.0}


def test_a_lap_knows_its_time():
    clock = Clock()
    with Stopwatch(clock=clock)("estimate") as lap:
        clock.now += 0.125
    assert lap.milliseconds == 125.0


def test_the_total_includes_earlier_stages():
    clock = Clock()
    watch = Stopwatch({"estimate": 40.0}, clock)
    clock.now += 0.25
    assert watch.timings() == {"estimate": 40.0, "total": 290.0}
