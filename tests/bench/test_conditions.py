"""What moved while something was measured."""

from __future__ import annotations

from dataclasses import replace

from dmformer.environment import environment
from dmformer.evaluation.latency import conditions
from dmformer.evaluation.latency.conditions import Reading

BEFORE = Reading(at_s=0, busy_s=100, stolen_s=0, throttled=0, mhz=3000, celsius=50, load=1)
AFTER = replace(BEFORE, at_s=10, busy_s=110)


def said(after: Reading, own: float = 10) -> list[str]:
    return [line for line in conditions.warnings([BEFORE, after], own, cores=2) if "battery" not in line]


def test_a_quiet_machine_is_not_worth_a_word() -> None:
    assert said(AFTER) == []


def test_every_disturbance_is_named() -> None:
    assert "other processes took 50% of the cores" in said(AFTER, own=0)[0]
    assert "hypervisor gave 5.0%" in said(replace(AFTER, stolen_s=1))[0]
    assert "stopped this process 3 times" in said(replace(AFTER, throttled=3))[0]
    assert "between 2000 and 3000 MHz" in said(replace(AFTER, mhz=2000))[0]
    assert "from 50 to 75 degrees" in said(replace(AFTER, celsius=75))[0]


def test_what_the_system_does_not_tell_is_no_warning() -> None:
    blind = Reading(0, None, None, None, None, None, None)
    assert [line for line in conditions.warnings([blind, replace(blind, at_s=1)], 1, 1) if "battery" not in line] == []


def test_a_reading_and_the_environment_of_this_machine() -> None:
    assert conditions.read().at_s > 0
    found = environment()
    assert found.cores >= 1
    assert found.packages["dmformer"]
