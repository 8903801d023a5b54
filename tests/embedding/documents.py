"""Runs the commands of a page under docs/, so that no page says what does not work."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from dmformer.cli.app import app
from tests.support import PATIENCE

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>console|sh)\n(?P<text>.*?)^```$", re.M | re.S
)
OF_A_SHELL = re.compile(r"[|<>&;$`(]")
END_WHAT_WAS_STARTED = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
"""A page that fails must not leave its service behind, which would hold this process up."""


@dataclass(frozen=True)
class Block:
    """The commands of one block of a page.

    Attributes:
        commands: A script for bash.
        skipped: Why it is not run, or None: what a comment ``<!-- not run: REASON -->`` before the block says.
    """

    commands: str
    skipped: str | None


def blocks_of(page: Path) -> list[Block]:
    """The blocks marked ``console`` (commands after ``$ ``, everything else is output) and ``sh`` (commands alone)."""
    found = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        lines = match["text"].splitlines()
        found.append(Block("\n".join(typed(lines) if match["kind"] == "console" else lines), match["reason"]))
    return found


def typed(lines: list[str]) -> list[str]:
    """What follows a prompt, with the lines that a backslash continues it on."""
    typed: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            typed.append(line.removeprefix("$ "))
        elif typed and typed[-1].endswith("\\"):
            typed.append(line.removeprefix("> "))
    return typed


def examples_of(page: Path, kind: str = "python") -> list[str]:
    """The blocks marked with a kind, as ``python``: each a whole program or file."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def words_of(command: str) -> list[str] | None:
    """What follows ``dmformer`` in a command, files' patterns filled in; None where a shell must read it."""
    words = shlex.split(command, comments=True)
    if words[:1] != ["dmformer"] or OF_A_SHELL.search(" ".join(words)):
        return None
    return [name for word in words[1:] for name in sorted(map(str, Path().glob(word))) or [word]]


def run_page(page: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs every command of a page in ``folder``, and stops at the first that fails.

    Those of dmformer run in this process, which is quicker; what is between two of them runs in one shell.
    """
    typed = [block.commands.replace("\\\n", "") for block in blocks_of(page) if block.skipped is None]
    commands = "\n".join(typed).splitlines()
    said = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        for ours, lines in groupby(commands, lambda command: words_of(command) is not None):
            run = run_here if ours else run_script
            done = run(list(lines))
            said.append(done.stdout)
            if done.returncode:
                break
    return subprocess.CompletedProcess(str(page), done.returncode, "".join(said))


def run_here(commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs commands of dmformer in this process and directory."""
    said = io.StringIO()
    for command in commands:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            pytest.raises(SystemExit) as caught,
        ):
            app(words_of(command), prog_name="dmformer")
        if caught.value.code:
            break
    return subprocess.CompletedProcess(command, int(caught.value.code or 0), said.getvalue())


def run_script(commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs commands in one shell, in this directory."""
    script = "\n".join([END_WHAT_WAS_STARTED, *commands])
    return run_program(["bash", "-euxo", "pipefail", "-c", script], Path.cwd())


def run_program(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in ``folder``, with the environment that dmformer is installed in first on the PATH.

    Standard output and error come together.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
