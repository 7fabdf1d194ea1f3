"""Plan of a chaos run: what happens, and when. A seed decides it before the run begins."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tools.chaos.malformed import ARRIVALS, MESSAGES
from tools.chaos.proxy import Weather
from tools.chaos.scans import BROKEN, ENDLESS, GOOD, KINDS, LETHAL
from tools.chaos.settings import BROKEN_DEVICE, NO_THREADS

WORKERS: Final = ("a", "b", "c")
SPARED: Final = "c"  # never killed, and its child not in the second half, so that its memory can be measured

OTHERS: Final = tuple(name for name in WORKERS if name != SPARED)


class Form(StrEnum):
    """How a scan is announced."""

    TASK = "task"  # Celery's send_task
    JSON = "plain JSON"
    LIST = "a list in JSON"
    NOTICES = "notifications of S3"
    NONE = "not at all"  # the sweep over storage finds it


@dataclass(frozen=True)
class PlannedScan:
    """A scan that is uploaded once and announced one or more times."""

    scan_id: str
    kind: str
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class Step:
    """A step `at` seconds after the start: the name of a method and its arguments."""

    at: float
    name: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All steps of a run, each list in order of time.

    Attributes:
        seed: of the plan.
        seconds: from the start until the last fault is over.
        scans: all of them.
        arrivals: steps of `Producer`.
        faults: steps of `Faults`.
    """

    seed: int
    seconds: float
    scans: tuple[PlannedScan, ...]
    arrivals: tuple[Step, ...]
    faults: tuple[Step, ...]


@dataclass(frozen=True)
class _Fault:
    """A fault: roughly how often it occurs (at least once), and the shortest and longest time it lasts."""

    every_s: float
    lasts_s: tuple[float, float]
    steps: Callable[[random.Random, Sequence[str]], tuple[Step, Step | None]]


def make_plan(seed: int, scans: int, seconds: float, endless: int = 1) -> Plan:
    """Return a plan. Equal arguments give equal plans. `endless` scans never end by themselves."""
    planned = tuple(_scans(random.Random(f"{seed}/scans"), scans, endless))
    arrivals = _arrivals(random.Random(f"{seed}/arrivals"), planned, seconds)
    faults = _faults(random.Random(f"{seed}/faults"), seconds)
    return Plan(seed, seconds, planned, _sorted(arrivals), _sorted(faults))


def _sorted(steps: Iterator[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: step.at))


def _scans(chance: random.Random, count: int, endless: int) -> Iterator[PlannedScan]:
    lethal = max(1, count // 100)
    broken = max(len(BROKEN), count // 10)
    hard = [LETHAL] * lethal + [ENDLESS] * endless
    kinds = [BROKEN[number % len(BROKEN)] for number in range(broken)]
    kinds += [GOOD[number % len(GOOD)] for number in range(count - len(hard) - broken)]
    chance.shuffle(kinds)
    for kind in hard:
        # Early: each of them kills a process, perhaps the one whose memory is measured later.
        kinds.insert(chance.randrange(count // 4), kind)
    for number, kind in enumerate(kinds):
        form = chance.choice((Form.TASK, Form.JSON, Form.LIST, Form.NOTICES))
        if kind in GOOD and chance.random() < 0.06:
            form = Form.NONE
        elif kind.name == "no files" and form is Form.NOTICES:
            form = Form.JSON  # without an object there is no notification
        duplicates = chance.choice((0, 0, 0, 1, 2)) if form is not Form.NONE else 0
        others = [chance.choice((Form.TASK, Form.JSON, Form.LIST)) for _ in range(duplicates)]
        yield PlannedScan(f"{kind.prefix}-{number:03d}", kind.name, (form, *others))


def _arrivals(chance: random.Random, scans: tuple[PlannedScan, ...], seconds: float) -> Iterator[Step]:
    for number, scan in enumerate(scans):
        # Bursts: a phone back on a network uploads a whole day of work.
        at = 0.7 * seconds * (number - number % 5) / len(scans) + chance.uniform(0, 1)
        yield Step(at, "bring", (scan.scan_id, scan.kind))
        if KINDS[scan.kind].late:
            yield Step(at + chance.uniform(0.5, 5), "bring_rest", (scan.scan_id, scan.kind))
        for form in scan.forms:
            if form is not Form.NONE:
                yield Step(at, "announce", (scan.scan_id, form, chance.random()))
            later = chance.choice((0.0, chance.uniform(0, 5), chance.uniform(0, seconds / 5)))
            at = min(at + later, seconds)
    each = max(1, round(seconds / 100))
    for name, samples in (("bad_message", MESSAGES), ("bad_arrival", ARRIVALS)):
        for number in range(each * len(samples)):
            yield Step(chance.uniform(0, 0.8 * seconds), name, (number % len(samples), number))


def _faults(chance: random.Random, seconds: float) -> Iterator[Step]:
    for fault in FAULTS:
        times = max(1, round(seconds / fault.every_s))
        slot = seconds / times
        for number in range(times):
            lasts = min(chance.uniform(*fault.lasts_s), 0.5 * slot)
            at = number * slot + chance.uniform(0, slot - lasts)
            names = WORKERS if 2 * number < times else OTHERS
            begin, end = fault.steps(chance, names)
            yield Step(at, begin.name, begin.arguments)
            if end is not None:
                yield Step(at + lasts, end.name, end.arguments)


def _kill_child(chance: random.Random, names: Sequence[str]) -> tuple[Step, None]:
    return Step(0, "kill_child", (chance.choice(names), chance.random())), None


def _kill_worker(chance: random.Random, *_: object) -> tuple[Step, None]:
    return Step(0, "kill_worker", (chance.choice(OTHERS), chance.random() < 0.5)), None


def _stop_worker(chance: random.Random, *_: object) -> tuple[Step, None]:
    return Step(0, "stop_worker", (chance.choice(OTHERS),)), None


def _kill_beat(*_: object) -> tuple[Step, None]:
    return Step(0, "kill_worker", ("beat", True)), None


def _freeze(chance: random.Random, names: Sequence[str]) -> tuple[Step, Step]:
    which = chance.choice(names), chance.random()
    return Step(0, "freeze_child", which), Step(0, "thaw", which)


def _break_child(fault: str) -> Callable[[random.Random, Sequence[str]], tuple[Step, None]]:
    def steps(chance: random.Random, names: Sequence[str]) -> tuple[Step, None]:
        return Step(0, "break_child", (chance.choice(names), chance.random(), fault)), None

    return steps


def _redis_away(chance: random.Random, *_: object) -> tuple[Step, Step]:
    return Step(0, "stop_redis", (chance.random() < 0.5,)), Step(0, "start_redis")


def _redis_cut(*_: object) -> tuple[Step, None]:
    return Step(0, "cut_redis"), None


def _s3_away(*_: object) -> tuple[Step, Step]:
    return Step(0, "stop_s3"), Step(0, "start_s3")


def _s3_refuses(*_: object) -> tuple[Step, Step]:
    return Step(0, "refuse_s3"), Step(0, "accept_s3")


def _bad_weather(chance: random.Random, *_: object) -> tuple[Step, Step]:
    share = chance.uniform(0.1, 0.6)
    weather = chance.choice(
        (
            Weather(delay_s=(0.02, chance.uniform(0.1, 0.6))),
            Weather(errors=share),
            Weather(drops=share / 2),
            Weather(delay_s=(0.0, 0.2), errors=share / 2, drops=share / 4),
            Weather(errors=1.0),
        )
    )
    return Step(0, "set_weather", (weather,)), Step(0, "set_weather", (Weather(),))


FAULTS: Final = (
    _Fault(12, (0, 0), _kill_child),
    _Fault(40, (0, 0), _kill_worker),
    _Fault(120, (0, 0), _stop_worker),
    _Fault(150, (0, 0), _kill_beat),
    _Fault(60, (8, 14), _freeze),
    _Fault(200, (55, 60), _freeze),  # longer than the time limit: another process does the scan meanwhile
    _Fault(60, (0, 0), _break_child(BROKEN_DEVICE)),
    _Fault(90, (0, 0), _break_child(NO_THREADS)),
    _Fault(60, (0.5, 6), _redis_away),
    _Fault(45, (0, 0), _redis_cut),
    _Fault(75, (1, 8), _s3_away),
    _Fault(200, (50, 60), _s3_refuses),
    _Fault(20, (4, 10), _bad_weather),
)
