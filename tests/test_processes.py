"""Processes of our own: what they say, what becomes of their end, and that nothing of them is left."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dmformer.errors import EngineCrashError, EngineError, UsageError
from dmformer.processes import Process, Say, cause_of
from dmformer.targets import TARGETS, Target
from tests.support import PATIENCE, Notes, world

STEPS = {
    name: f"doing {name}" for name in ("answer", "tell", "die", "half", "leave", "refuse", "fail", "rows", "child")
}


class Service:
    """Does what its steps say."""

    def __init__(self, request: dict[str, Any], say: Say) -> None:
        if request.get("broken"):
            raise UsageError("this request is none", "another one")
        self._request, self._say, self._asked = request, say, 0

    def answer(self) -> dict[str, Any]:
        self._asked += 1
        print("native words on standard output")
        return {"asked": self._asked, "request": self._request, "stdin": sys.stdin.closed}

    def tell(self) -> dict[str, Any]:
        for step, done in (("the first part", 0.25), ("the second part", 0.5)):
            self._say({"step": step, "done": done})
        return {}

    def die(self) -> dict[str, Any]:
        self._say({"step": "the last step"})
        print("the last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def half(self) -> dict[str, Any]:
        answers = inspect.getclosurevars(self._say).nonlocals["answers"]
        os.write(answers.fileno(), b'{"resu')
        os._exit(3)

    def leave(self) -> dict[str, Any]:
        sys.exit(3)

    def refuse(self) -> dict[str, Any]:
        raise UsageError("not this", "but that")

    def fail(self) -> dict[str, Any]:
        raise RuntimeError("the library\n  does not like it")

    def rows(self) -> dict[str, Any]:
        return {"rows": [*TARGETS]}

    def child(self) -> dict[str, Any]:
        return {"pid": subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid}


def process_of(request: dict[str, Any] | None = None) -> Process:
    return Process("somebody", "tests.test_processes:Service", request or {}, STEPS, "try again")


def test_one_process_answers_many_times() -> None:
    with process_of({"number": 1}) as process:
        assert [process.ask("answer")["asked"] for _ in range(3)] == [1, 2, 3]
        assert process.ask("answer")["request"] == {"number": 1}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("die", "somebody: the process died (SIGKILL) while the last step; it last said: the last words"),
        ("half", "somebody: the process died (exit code 3) while doing half"),
        ("leave", "somebody: the process died (exit code 3) while doing leave"),
    ],
)
def test_an_end_is_an_error_that_names_the_step_and_the_last_words(step: str, message: str) -> None:
    with pytest.raises(EngineCrashError) as caught, process_of() as process:
        process.ask("tell")
        process.ask(step)
    assert (caught.value.message, caught.value.hint) == (message, "try again")


def test_an_error_of_ours_comes_over_whole_and_the_process_lives_on() -> None:
    with process_of() as process:
        for _ in range(2):
            with pytest.raises(UsageError) as caught:
                process.ask("refuse")
            assert (caught.value.message, caught.value.hint) == ("not this", "but that")
        with pytest.raises(EngineError, match="somebody: the library does not like it"):
            process.ask("fail")
        assert process.ask("answer")["asked"] == 1
    with process_of({"broken": True}) as process, pytest.raises(UsageError, match="this request is none"):
        process.ask("answer")


def test_progress_is_told_once_for_every_percent() -> None:
    class Watch(Notes):
        def track(self, items: Any, description: str, total: int) -> Any:
            for item in items:
                self.said.append(f"{description} {item} of {total}")
                yield item

    watch = Watch()
    with process_of() as process:
        process.ask("tell", watch)
    assert watch.said == [f"doing tell {percent} of 100" for percent in range(1, 101)]


def test_it_knows_the_targets_that_its_parent_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Target("made-up", "Made up", "nowhere:Runtime", "json", "pip install made-up", options={"level": "[0-9]"})
    monkeypatch.setitem(TARGETS, "made-up", row)
    with process_of() as process:
        assert process.ask("rows")["rows"] == [*TARGETS]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_it_is_left_and_none_of_its_own_processes(fails: bool, tmp_path: Path) -> None:
    before = world(tmp_path)
    with process_of() as process:
        pid = process.ask("child")["pid"]
        if fails:
            with pytest.raises(EngineCrashError):
                process.ask("die")
    deadline = time.monotonic() + PATIENCE
    while running(pid):
        assert time.monotonic() < deadline, "a process of its own outlives it"
        time.sleep(0.01)
    assert world(tmp_path) == before


def running(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has asked about is a zombie."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_signal_has_its_name() -> None:
    assert cause_of(-11) == "SIGSEGV"
    assert cause_of(-200) == "signal 200"
    assert cause_of(3) == "exit code 3"
