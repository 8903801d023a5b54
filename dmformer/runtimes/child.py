"""Building and first trying an engine in processes of their own, so that a crash there becomes an error here."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from dmformer import errors
from dmformer.bundle import Bundle, assemble
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.processes import Process
from dmformer.progress import Progress
from dmformer.runtimes.base import EngineReport, EngineRequest, completed, require
from dmformer.runtimes.registry import get_runtime
from dmformer.space import refusal

ENGINE_MARGIN = 1 << 20
"""Bytes that an engine's files may have beyond those of the graph: OpenVINO's XML, a package's tables."""
STEPS = {"build": "building the engine", "attempt": "trying the engine", "clock": "timing the engine"}
HINT = "the library itself crashed: try another version of it, another --target, or another precision"


def build_bundle(request: EngineRequest, draft: Manifest, golden: Golden) -> Bundle:
    """Builds in a child process, assembles the bundle, and tries it on one golden sample in another.

    Raises:
        MissingBackendError: The runtime is not installed.
        EngineCrashError: The native library ended its process, at the step that the message names.
        EngineError: The runtime refused the graph.
    """
    require(get_runtime(draft.target).missing_for_export())
    report = build_in_child(draft.target, request)
    bundle = assemble(Path(request.directory), completed(draft, request, report), golden, report.roles)
    try_in_child(bundle)
    return bundle


def build_in_child(target: str, request: EngineRequest, progress: Progress | None = None) -> EngineReport:
    """Builds an engine in a child process.

    Args:
        target: Its name.
        request: What to build.
        progress: Watches the build, where the runtime tells how far it is.

    Raises:
        EngineCrashError: The process died; the message names the target and the step.
        DmformerError: What the runtime itself raised.
        OSError: There is no room for the engine.
    """
    task = {"target": target, "request": request.to_json()}
    with Process(target, "dmformer.runtimes.worker:Builder", task, STEPS, HINT) as process:
        try:
            return EngineReport(**process.ask("build", progress))
        except errors.DmformerError as error:
            # A full disk is told of the engine's place first: there may be no other.
            wanted = Path(request.onnx).stat().st_size + ENGINE_MARGIN
            if why := refusal(error, Path(request.directory), wanted):
                raise OSError(errno.ENOSPC, why, request.directory) from error
            raise


def try_in_child(bundle: Bundle) -> None:
    """Opens a bundle and runs one golden sample in a child process. Raises as `build_in_child`."""
    _used(bundle, "attempt")


def time_in_child(bundle: Bundle) -> float:
    """Median milliseconds of one inference of a bundle, measured in a child process. Raises as `build_in_child`."""
    return float(_used(bundle, "clock")["ms"])


def _used(bundle: Bundle, step: str) -> dict[str, Any]:
    task = {"bundle": str(bundle.path)}
    with Process(bundle.manifest.target, "dmformer.runtimes.worker:Trial", task, STEPS, HINT) as process:
        return process.ask(step)
