"""Slices and warm-up, with calls that only count."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from dmformer.evaluation.latency import timing


def test_a_slice_holds_at_least_the_calls_asked_for() -> None:
    found = timing.measure(lambda: None, 0, 7)
    assert len(found.calls_ns) == 7
    assert found.wall_ns >= sum(found.calls_ns)


def test_a_slice_lasts_at_least_as_long_as_asked_for() -> None:
    assert timing.measure(lambda: None, 0.01, 1).wall_ns >= 10_000_000


def test_warm_up_ends_at_its_limit_when_nothing_becomes_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = itertools.count(1)
    monkeypatch.setattr(timing, "measure", lambda *_: timing.Slice([2 ** next(lengths)], 1))
    _, stable = timing.warm_up(lambda: None, 0)
    assert not stable


def test_warm_up_ends_when_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = itertools.chain([900, 500, 100, 101], itertools.repeat(100))
    monkeypatch.setattr(timing, "measure", lambda *_: timing.Slice([next(lengths)], 1))
    _, stable = timing.warm_up(lambda: None, 60)
    assert stable
    assert next(lengths) == 100


def test_a_paced_camera_counts_late_frames() -> None:
    quick = timing.measure_paced(lambda: None, 3, 200)
    slow = timing.measure_paced(lambda: time.sleep(0.02), 3, 200)
    assert (len(quick.calls_ns), len(slow.calls_ns), slow.late) == (3, 3, 3)
    assert quick.wall_ns >= 15_000_000


def test_streams_run_at_the_same_time_and_enter_their_threads() -> None:
    met, own = threading.Barrier(2), threading.local()
    entered: list[int] = []

    def call() -> None:
        if not hasattr(own, "met"):
            own.met = met.wait(timeout=60)

    found = timing.measure_streams([call, call], lambda: entered.append(threading.get_ident()), 0, 5)
    assert len(entered) == len(set(entered)) == 2
    assert len(found.calls_ns) >= 10


def test_a_failure_in_a_stream_reaches_the_caller() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        timing.measure_streams([fail, fail], lambda: None, 0, 1)
