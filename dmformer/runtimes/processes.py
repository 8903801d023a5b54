"""Starting processes of our own, which never outlive the one that started them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

START = """
import sys
module, parent, path = sys.argv[1:4]
del sys.argv[1:4]
sys.path[:] = path.split("\\n")
from importlib import import_module
from dmformer.runtimes.processes import end_with
end_with(int(parent))
sys.exit(import_module(module).main())
"""
"""The process finds modules where this one does: `-m` would look into the current directory first, where a user's own
`openvino.py` may lie."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a fresh interpreter that calls a module's ``main`` and ends with this process."""
    return [sys.executable, "-c", START, module, str(os.getpid()), "\n".join(sys.path), *arguments]


def environment(scratch: Path) -> dict[str, str]:
    """The variables of a process whose temporary files, its libraries' too, go into a directory of this one."""
    return {**os.environ, "TMPDIR": str(scratch)}


def end_with(parent: int) -> None:
    """Lets the system end this process when its parent is gone, also in the middle of a native build.

    Only Linux can; elsewhere a process whose parent was killed finishes its step first.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # gone before it was said
        os._exit(1)
