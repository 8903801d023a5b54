"""Where an engine may be opened: stamped when it is built, checked before it is loaded."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.tensorrt.gpu import Gpu
from dmformer.runtimes.tensorrt.libraries import Library, Version, parse_version
from dmformer.runtimes.tensorrt.plan import BuildPlan

CAPABILITY, DRIVER, SYSTEM, PORTABLE, CAPABILITIES = "compute_capability", "driver", "system", "portable", "built_for"


def make_stamp(plan: BuildPlan, gpu: Gpu | None) -> dict[str, str]:
    """What goes into the manifest's runtime options.

    Args:
        plan: What was built.
        gpu: The GPU that it was built on, or None where it was built ahead of time.
    """
    stamp = {SYSTEM: system(), PORTABLE: str(plan.portable).lower()}
    if gpu is not None:
        stamp |= {CAPABILITY: gpu.compute_capability, DRIVER: gpu.driver}
    if plan.compute_capabilities:
        stamp[CAPABILITIES] = ", ".join(plan.compute_capabilities)
    return stamp


def system() -> str:
    """Operating system and processor, which an engine is bound to."""
    return f"{platform.system()} {platform.machine()}"


def check_stamp(bundle: Bundle, library: Library, version: str, gpu: Gpu) -> None:
    """Refuses an engine that this machine cannot open, before the library does so less clearly.

    Raises:
        EngineError: Names the difference; the hint is the command that builds it for this machine.
    """
    record = bundle.manifest.runtime
    problem = (
        _version_problem(record.version, version, record.options, library)
        or _system_problem(record.options, library)
        or _gpu_problem(record.options, library, gpu)
    )
    if problem:
        raise EngineError(f"{bundle.path}: {problem}", rebuild_command(bundle))


def rebuild_command(bundle: Bundle) -> str:
    """The command that builds a bundle's engine on the machine where it is typed."""
    return f"build it on this machine: dmformer build {bundle.path}"


def _version_problem(built: str, here: str, stamp: Mapping[str, str], library: Library) -> str | None:
    if built == here:
        return None
    if stamp.get(PORTABLE) == "true" and is_later(parse_version(here), parse_version(built)):
        return None
    return f"the engine was built by {library.title} {built}, here is {here}"


def is_later(here: Version, built: Version) -> bool:
    """Whether a version opens version-compatible engines of another: later ones of that and of the next major version.

    Source: docs.nvidia.com/deeplearning/tensorrt/11.1.0, "Engine Compatibility".
    """
    return built <= here and here[:1] <= (built[0] + 1,) if built and here else False


def _system_problem(stamp: Mapping[str, str], library: Library) -> str | None:
    built = stamp.get(SYSTEM, system())
    fits = library.any_system or built == system()
    return None if fits else f"the engine was built for {built}, this is {system()}"


def _gpu_problem(stamp: Mapping[str, str], library: Library, gpu: Gpu) -> str | None:
    here = gpu.compute_capability
    if library.compute_capabilities:
        return _list_problem(stamp.get(CAPABILITIES), library, gpu)
    built = stamp.get(CAPABILITY, here)
    later = stamp.get(PORTABLE) == "true" and parse_version(here) >= parse_version(built) >= (8, 0)
    if built == here or later:
        return None
    return f"the engine was built for compute capability {built}, {gpu.name} has {here}"


def _list_problem(built_for: str | None, library: Library, gpu: Gpu) -> str | None:
    known = tuple(built_for.split(", ")) if built_for else library.default_capabilities
    later = not built_for and parse_version(gpu.compute_capability) >= parse_version(known[-1])
    if gpu.compute_capability in known or later:
        return None
    return f"the engine is for compute capability {', '.join(known)}, {gpu.name} has {gpu.compute_capability}"
