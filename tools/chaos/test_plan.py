"""The seed decides the plan, and a plan contains every fault."""

from __future__ import annotations

import pytest

from tools.chaos.malformed import ARRIVALS, MESSAGES
from tools.chaos.plan import SPARED, Form, make_plan
from tools.chaos.producers import Producer
from tools.chaos.run import short_plan
from tools.chaos.scans import KINDS
from tools.chaos.servers import Faults
from tools.chaos.settings import DEADLY, STUCK
from worker.keys import parse_scan_id


def test_equal_seeds_give_equal_plans_and_others_give_others():
    assert make_plan(1, 100, 100) == make_plan(1, 100, 100)
    assert make_plan(1, 100, 100).faults != make_plan(2, 100, 100).faults


@pytest.mark.parametrize("plan", [make_plan(1, 300, 450), *map(short_plan, range(20))])
def test_every_plan_has_every_fault_every_form_and_every_bad_entry(plan):
    faults = {step.name for step in plan.faults}
    assert faults == {name for name in vars(Faults) if name[0] != "_"} - {"do", "mend"}
    names = {"bring", "bring_rest", "announce", "bad_message", "bad_arrival"}
    assert {step.name for step in plan.arrivals} == names
    assert {form for scan in plan.scans for form in scan.forms} >= {*Form} - {Form.NONE}
    for name, samples in (("bad_message", MESSAGES), ("bad_arrival", ARRIVALS)):
        bad = [step.arguments for step in plan.arrivals if step.name == name]
        assert {which for which, _ in bad} == set(range(len(samples)))
        assert len({number for _, number in bad}) == len(bad)
    assert all(hasattr(Producer, step.name) for step in plan.arrivals)


def test_each_scan_comes_once_before_it_is_announced_and_some_more_often_than_once():
    plan = make_plan(1, 300, 450)
    steps = [step for step in plan.arrivals if step.name in ("bring", "announce")]
    brought: set[object] = set()
    for step in steps:
        if step.name == "bring":
            assert step.arguments[0] not in brought
            brought.add(step.arguments[0])
        else:
            assert step.arguments[0] in brought
    assert brought == {parse_scan_id(scan.scan_id) for scan in plan.scans}
    assert len(brought) == 300
    assert sum(len(scan.forms) > 1 for scan in plan.scans) > 50
    assert {scan.kind for scan in plan.scans} == set(KINDS)
    assert {scan.kind for scan in plan.scans if scan.scan_id.startswith((DEADLY, STUCK))} == {
        "kills its process",
        "never ends",
    }


def test_every_fault_is_over_in_time_and_one_worker_is_never_killed_as_a_whole():
    for seed in range(20):
        plan = make_plan(seed, 100, 200)
        assert all(0 <= step.at <= plan.seconds for step in (*plan.arrivals, *plan.faults))
        killed = {step.arguments[0] for step in plan.faults if step.name in ("kill_worker", "stop_worker")}
        assert killed and SPARED not in killed
        frozen = [step.arguments for step in plan.faults if step.name == "freeze_child"]
        assert sorted(frozen) == sorted(step.arguments for step in plan.faults if step.name == "thaw")
        for begin, end in (
            ("stop_redis", "start_redis"),
            ("stop_s3", "start_s3"),
            ("refuse_s3", "accept_s3"),
        ):
            names = [step.name for step in plan.faults if step.name in (begin, end)]
            assert names == [begin, end] * (len(names) // 2)
