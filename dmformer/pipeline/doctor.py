"""What this machine can build and run."""

from __future__ import annotations

import os
import platform
from typing import Literal

from dmformer import host, limits
from dmformer.documents import Document, schema
from dmformer.fields import Strict
from dmformer.pipeline.requests import DoctorOptions
from dmformer.progress import Progress
from dmformer.runtimes.base import Runtime
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import TARGETS
from dmformer.version import __version__


class ExportState(Strict):
    """Whether weights can be exported here, and how to get what is missing."""

    ready: bool
    missing: tuple[str, ...]
    install: str = "pip install 'dmformer[export]'"


class TargetState(Strict):
    """What of a target cannot be done here: why, and the install command behind a colon; None where it can.

    Attributes:
        missing: Run its engines.
        missing_for_export: Make its bundles, once weights can be exported.
    """

    missing: str | None
    missing_for_export: str | None


class DoctorDocument(Document):
    """The machine, what can be done on it, and the versions of everything that matters."""

    schema_: Literal["dmformer.doctor/1"] = schema("dmformer.doctor/1")
    dmformer: str
    python: str
    os: str
    cpu: str
    cores: int
    cores_of_machine: int
    cpu_limit: float | None
    cpu_isa: tuple[str, ...]
    int8: str
    half: str
    memory_bytes: int | None
    gpu: str | None
    export: ExportState
    targets: dict[str, TargetState]
    packages: dict[str, str]


def examine(options: DoctorOptions | None = None, progress: Progress | None = None) -> DoctorDocument:
    """Everything that can be said of this machine; nothing is asked, and nothing takes long enough to be watched."""
    cpu = host.cpu()
    missing = tuple(name for name in host.EXPORT_PACKAGES if host.package_version(name) is None)
    return DoctorDocument(
        dmformer=__version__,
        python=platform.python_version(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu.name,
        cores=host.available_cores(),
        cores_of_machine=os.cpu_count() or host.schedulable_cores(),
        cpu_limit=limits.cpu_limit(),
        cpu_isa=cpu.isa,
        int8=host.int8_advice(cpu.isa),
        half=host.half_advice(cpu.isa),
        memory_bytes=host.memory_bytes(),
        gpu=host.nvidia_gpu(),
        export=ExportState(ready=not missing, missing=missing),
        targets={name: state_of(get_runtime(name)) for name in TARGETS},
        packages=host.library_versions(*host.EXPORT_PACKAGES, "numpy", "pillow", "pydantic"),
    )


def state_of(runtime: Runtime) -> TargetState:
    """What can be done here of a runtime's target."""
    return TargetState(missing=runtime.unable_to_run(), missing_for_export=runtime.missing_for_export())
