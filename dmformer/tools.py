"""What other vendors' tools of the system print, where they are installed."""

from __future__ import annotations

import shutil
import subprocess

SECONDS = 5.0
"""How long one may take."""


def output_of(*command: str, seconds: float = SECONDS) -> str:
    """What a tool prints; empty where it is not there, fails or takes too long.

    Args:
        command: Its name and fixed arguments.
        seconds: How long it may take.
    """
    tool = shutil.which(command[0])
    if tool is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - a tool of the system, with fixed arguments
            [tool, *command[1:]], capture_output=True, text=True, errors="replace", check=False, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def first_line(*command: str) -> str:
    """The first line of a tool that goes on until it is stopped."""
    tool = shutil.which(command[0])
    if tool is None:
        return ""
    limited = [shutil.which("timeout") or "timeout", str(SECONDS), tool, *command[1:]]
    try:
        with subprocess.Popen(limited, stdout=subprocess.PIPE, text=True, errors="replace") as process:  # noqa: S603
            line = process.stdout.readline() if process.stdout else ""
            process.terminate()
    except OSError:
        return ""
    return line
