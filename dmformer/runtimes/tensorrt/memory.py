"""Whether there is memory enough for a build: a Jetson that runs out of it takes everything down with it."""

from __future__ import annotations

from pathlib import Path

from dmformer import host
from dmformer.errors import UsageError
from dmformer.runtimes.tensorrt.gpu import Gpu
from dmformer.runtimes.tensorrt.plan import GIB, BuildPlan

MEMINFO = Path("/proc/meminfo")
GRAPH_COPIES = 4
"""Memory that a build takes beyond its workspace, in sizes of the graph: this project's estimate."""


def available_bytes() -> int | None:
    """Memory that programs can still get, or None where the system does not tell."""
    text = MEMINFO.read_text() if MEMINFO.exists() else ""
    words = next((line.split() for line in text.splitlines() if line.startswith("MemAvailable:")), [])
    return int(words[1]) * 1024 if len(words) > 1 and words[1].isdigit() else None


def check_memory(plan: BuildPlan, graph_bytes: int, gpu: Gpu | None) -> None:
    """Refuses a build that would end without memory: on a Jetson that takes the whole system down.

    Args:
        plan: What is to be built.
        graph_bytes: Size of the graph.
        gpu: The GPU, or None where the engine is built ahead of time.

    Raises:
        UsageError: The workspace is larger than the memory, or too little of a shared memory is free.
    """
    total = gpu.memory_bytes if gpu else host.memory_bytes()
    workspace = int((plan.workspace_gib or 0) * GIB)
    if total is not None and workspace > total:
        raise UsageError(
            f"a workspace of {plan.workspace_gib:g} GiB is larger than the {total / GIB:.1f} GiB of memory here",
            "give a smaller --workspace, or leave it out",
        )
    free = available_bytes()
    needed = workspace + GRAPH_COPIES * graph_bytes
    if gpu is not None and gpu.integrated and free is not None and needed > free:
        raise UsageError(
            f"building needs about {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free",
            "close other programs, add swap, or give a smaller --workspace",
        )
