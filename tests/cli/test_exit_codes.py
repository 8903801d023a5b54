"""1 means "below tolerance" and nothing else: faults, signals, readers that left and streams that are closed."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from dmformer.cli.app import guarded, told
from dmformer.cli.exit_codes import FAULT, READER_LEFT, STOPPED, TERMINATED
from dmformer.cli.output import escaped
from dmformer.errors import UsageError, reraise_stop
from dmformer.texts import MESSAGE, one_line
from tests.support import run


@pytest.mark.parametrize("fault", [ValueError, KeyError, MemoryError, RecursionError, ZeroDivisionError])
def test_an_unforeseen_error_has_its_own_code_and_a_log(
    fault: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise fault("boom")

    with pytest.raises(typer.Exit) as ended:
        guarded(command)()
    assert ended.value.exit_code == FAULT
    said = capsys.readouterr().err
    assert "Traceback" not in said and "boom" in said
    (log,) = Path(os.environ["TMPDIR"]).glob("dmformer-fault-*.log")
    assert str(log) in said and "Traceback" in log.read_text()
    log.unlink()


FAULTS = {
    "a fault": ("ValueError('b\\x1b]oom')", FAULT),
    "an error of a library behind ours": ("EngineError('refused') from RuntimeError('b\\x1b]oom')", 2),
    "the system's": ("FileNotFoundError(2, 'b\\x1b]oom', 'x')", 2),
}


@pytest.mark.parametrize(("raised", "code"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("verbose", [True, False])
def test_verbose_shows_the_traceback_and_nothing_else_does(raised: str, code: int, verbose: bool) -> None:
    program = (
        "import sys; from dmformer.cli import app, main; from dmformer.errors import EngineError\n"
        f"def failing() -> int: raise {raised}\n"
        f"app.app.command('failing')(app.guarded(failing)); sys.argv[1:] = {['--verbose'] * verbose + ['failing']}\n"
        "main()"
    )
    done = run(code=program)
    assert done.returncode == code, done.stderr
    assert ("Traceback" in done.stderr) == verbose
    assert ("oom" in done.stderr) == (verbose or "EngineError" not in raised)
    assert "\x1b" not in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1


def test_a_module_of_ours_that_is_missing_is_a_fault() -> None:
    assert told(ModuleNotFoundError("gone", name="dmformer.gone")) == FAULT


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize(
    "arguments",
    [("doctor",), ("doctor", "--json"), ("--help",), ("--version",), ("inspect", "missing"), ("inspect", "--odd"), ()],
    ids=" ".join,
)
def test_a_reader_that_left_is_no_error(stream: int, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import os, sys; os.dup2(int(sys.argv.pop(1)), int(sys.argv.pop(1))); from dmformer.cli import main; main()"
    done = run(str(writing), str(stream), *arguments, code=code, pass_fds=(writing,))
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 2, READER_LEFT}, "1 means that a bundle is below its tolerance"
    if (stream == 1 and arguments[:1] in {("--help",), ("--version",)}) or arguments == ("doctor", "--json"):
        assert done.returncode == (READER_LEFT if stream == 1 else 0)


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_changes_no_exit_code(closed: int) -> None:
    shell = f'exec "$@" {closed}>&-'
    done = run("-c", shell, "sh", sys.executable, "-m", "dmformer", "doctor", program=["sh"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", TERMINATED), ("SIGINT", STOPPED)])
def test_a_signal_unwinds_the_stack(name: str, code: int) -> None:
    program = (
        "import os, signal, sys, typer; from dmformer.cli import app, main\n"
        "def stopped() -> int:\n"
        f"    try: os.kill(os.getpid(), signal.{name}); signal.pause()\n"
        "    finally: print('cleaned', flush=True)\n"
        "app.app.command('stopped')(app.guarded(stopped)); sys.argv = ['dmformer', 'stopped']; main()"
    )
    done = run(code=program)
    assert (done.returncode, done.stdout) == (code, "cleaned\n")


STOP_WHERE = """
import os, signal, sys
class Trap:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            try: os.kill(os.getpid(), signal.{name})
            except BaseException as stop: {wrap}
sys.meta_path.insert(0, Trap())
sys.argv = ["dmformer", "inspect", "x"]
from dmformer.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "wrap"),
    [
        ("dmformer.cli.streams", "raise"),
        ("dmformer.cli.app", "raise ImportError('no luck') from stop"),
        ("dmformer.host", "raise"),
        ("dmformer.host", "raise ImportError('no luck') from stop"),
    ],
)
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", TERMINATED), ("SIGINT", STOPPED)])
def test_a_signal_before_the_work_has_its_own_code_however_it_is_wrapped(
    name: str, code: int, module: str, wrap: str
) -> None:
    done = run(code=STOP_WHERE.format(name=name, module=module, wrap=wrap))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x00", "a\udcffb", "\u202e", "\r\n"])
def test_nothing_steers_the_terminal(text: str) -> None:
    assert escaped(text).isprintable()
    assert one_line(text).isprintable()


def test_messages_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    told(UsageError("x" * 10**6, "y" * 10**6))
    assert len(capsys.readouterr().err) < 3 * MESSAGE


def test_a_wrapped_ctrl_c_is_found() -> None:
    wrapped = RuntimeError("export failed")
    wrapped.__cause__ = ValueError()
    wrapped.__cause__.__context__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        reraise_stop(wrapped)
    reraise_stop(RuntimeError("no stop in it"))


def test_an_error_that_is_its_own_cause_ends_the_search() -> None:
    alone, wrapping = RuntimeError("its own cause"), RuntimeError("another's")
    alone.__cause__, wrapping.__cause__ = alone, alone
    reraise_stop(alone)
    reraise_stop(wrapping)


def test_a_target_without_int8_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from dmformer.graph.qdq.emitters import emitter_for
    from dmformer.targets import TARGETS

    monkeypatch.setitem(TARGETS, "added", replace(TARGETS["onnxruntime"], name="added", emitter=None))
    with pytest.raises(UsageError, match="added: INT8 is not made"):
        emitter_for("added", "avx2")
