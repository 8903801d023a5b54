"""Runs the commands of a page under docs/, so that no page says what does not work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support import PATIENCE

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>console|sh)\n(?P<text>.*?)^```$", re.M | re.S
)
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


def run_page(page: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs every command of a page in one shell, in ``folder``, and stops at the first that fails."""
    commands = [block.commands for block in blocks_of(page) if block.skipped is None]
    script = "\n".join([END_WHAT_WAS_STARTED, *commands])
    return run_program(["bash", "-euxo", "pipefail", "-c", script], folder, **environment)


def run_program(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in ``folder``, with the environment that dmformer is installed in first on the PATH.

    Standard output and error come together.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
