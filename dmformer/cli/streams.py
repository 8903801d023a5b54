"""What a process has around it: streams that may be closed or cannot write every name."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TextIO


def prepare() -> None:
    """Makes stdout and stderr write whatever they are given, and a terminal plain where the user wants it so."""
    if os.environ.get("NO_COLOR"):
        # What prints for us leaves out colours alone, and bold type is as much of a nuisance in a log.
        os.environ["TERM"] = "dumb"
    sys.stdout = _writable(sys.stdout)
    sys.stderr = _writable(sys.stderr)


def _writable(stream: TextIO | None) -> TextIO:
    """A stream that was closed (``2>&-``) is None in Python; one that is there replaces what it cannot write."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def abandon() -> None:
    """Sends what is still to be written nowhere, so that the interpreter does not complain when it ends."""
    sys.stdout = sys.stderr = _writable(None)


def reader_left(end: SystemExit) -> bool:
    """Whether a reader of the output has left: click and rich make exit code 1 of that, which has a meaning of ours."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        left = isinstance(end.__context__, BrokenPipeError)
    except BrokenPipeError:
        left = True
    if left:
        abandon()
    return left


def keep_trace(error: BaseException) -> str:
    """Writes a traceback to a file among the temporary ones and returns its path, or why there is none."""
    try:
        handle, path = tempfile.mkstemp(prefix="dmformer-fault-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError as refused:
        return f"nowhere ({refused.strerror})"
    return path
