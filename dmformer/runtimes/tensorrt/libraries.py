"""The two libraries as a table: what differs between TensorRT and TensorRT for RTX, and between their versions.

Sources: docs.nvidia.com/deeplearning/tensorrt (migration 10.x to 11.x; "Working with DLA" of 11.3.0, 11.4.0 and 11.4.1)
and docs.nvidia.com/deeplearning/tensorrt-rtx ("CPU-Only AOT and TensorRT-RTX Engines"). TensorRT 10.7 was the last with
a DLA before 11.4.1, which has it on Jetson AGX Orin from JetPack 7.2.2 on; 11.4.0 has a beta on Windows on Arm only,
which this project does not build for. What TensorRT for RTX refuses or silently leaves undone was tried with 1.7.1: a
timing cache is a deprecated no-op, version-compatible engines ask for a library that it does not have, hardware
compatibility levels and DLA are ignored.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from dmformer.targets import TARGETS, Target

Version = tuple[int, ...]


@dataclass(frozen=True)
class Library:
    """One of the two libraries.

    Attributes:
        target: Its row.
        modules: Python packages that hold its API, in the order in which they are tried.
        tool: NVIDIA's command-line builder for it.
        needs_gpu: Whether building needs an NVIDIA GPU.
        has_timing_cache: Whether a timing cache does anything.
        has_portable_flags: Whether an engine can be built for other versions and later GPUs by builder flags.
        compute_capabilities: GPUs that an engine can be built for ahead of time; empty where that is always this one.
        default_capabilities: Those of them that an engine runs on when none is named, and later ones.
        any_system: Whether an engine runs on another operating system than the one that it was built on.
        dla_versions: Closed ranges of versions that can use a DLA.
        command_versions: Versions whose command line differs, with their names for people.
        dla_names: Likewise where a DLA is built for.
    """

    target: Target
    modules: tuple[str, ...]
    tool: str
    needs_gpu: bool
    has_timing_cache: bool
    has_portable_flags: bool
    compute_capabilities: tuple[str, ...] = ()
    default_capabilities: tuple[str, ...] = ()
    any_system: bool = False
    dla_versions: tuple[tuple[Version, Version], ...] = ()
    command_versions: tuple[tuple[str, str], ...] = (("1", "1.x"),)
    dla_names: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        return self.target.title

    def has_dla(self, version: Version) -> bool:
        """Whether this version of the library can use a DLA."""
        return any(first <= version[: len(first)] and version[: len(last)] <= last for first, last in self.dla_versions)


TENSORRT = Library(
    target=TARGETS["tensorrt"],
    modules=("tensorrt",),
    tool="trtexec",
    needs_gpu=True,
    has_timing_cache=True,
    has_portable_flags=True,
    dla_versions=(((10, 0), (10, 7)), ((11, 4, 1), (99,))),
    command_versions=(("10", "10.x"), ("11", "11.x")),
    dla_names=(("10.7", "10.0 to 10.7"), ("11.4.1", "11.4.1 and later")),
)
TENSORRT_RTX = Library(
    target=TARGETS["tensorrt-rtx"],
    modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
    tool="tensorrt_rtx",
    needs_gpu=False,
    has_timing_cache=False,
    has_portable_flags=False,
    compute_capabilities=("7.5", "8.0", "8.6", "8.9", "12.0", "12.1"),
    default_capabilities=("8.0", "8.6", "8.9", "12.0"),
    any_system=True,
)
TYPED_SINCE = (11,)
"""From this version on all networks are strongly typed: flags for precision are gone, on the DLA as well."""


def parse_version(text: str) -> Version:
    """``10.3.0.26`` as numbers, of nine digits at most; what follows a part that is no number is left out."""
    parts = itertools.takewhile(lambda part: re.fullmatch("[0-9]{1,9}", part), text.split("."))
    return tuple(map(int, parts))
