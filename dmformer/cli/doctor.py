"""``dmformer doctor``."""

from __future__ import annotations

from typing import Any

from dmformer.cli import options


def doctor(json: options.Json = False) -> int:
    """Tell what this machine can build and run, and how to install what is missing."""
    from dmformer.cli.output import print_json

    document = examine()
    if json:
        print_json("dmformer.doctor/1", document)
    else:
        show(document)
    return 0


def examine() -> dict[str, Any]:
    """Everything that doctor knows, as one document."""
    import os
    import platform

    from dmformer import __version__, host, limits
    from dmformer.runtimes.registry import get_runtime
    from dmformer.targets import TARGETS

    found = host.cpu()
    export_missing = [name for name in host.EXPORT_PACKAGES if host.package_version(name) is None]
    return {
        "dmformer": __version__,
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": found.name,
        "cores": host.available_cores(),
        "cores_of_machine": os.cpu_count() or host.schedulable_cores(),
        "cpu_limit": limits.cpu_limit(),
        "cpu_isa": list(found.isa),
        "int8": host.int8_advice(found.isa),
        "half": host.half_advice(found.isa),
        "memory_bytes": host.memory_bytes(),
        "gpu": host.nvidia_gpu(),
        "export": {"ready": not export_missing, "missing": export_missing, "install": "pip install 'dmformer[export]'"},
        "targets": {name: {"missing": get_runtime(name).missing()} for name in TARGETS},
        "packages": host.library_versions(*host.EXPORT_PACKAGES, "numpy", "pillow", "pydantic"),
    }


def show(document: dict[str, Any]) -> None:
    """The document for people."""
    from dmformer.cli.output import console, escaped, size_text, table

    out = console()
    python = f"Python {document['python']}, {document['os']}"
    out.print(f"[bold]dmformer {escaped(document['dmformer'])}[/bold], {escaped(python)}")
    memory = document["memory_bytes"]
    out.print(
        f"CPU   {escaped(document['cpu'])}, {escaped(_cores(document))}" + (f", {size_text(memory)}" if memory else "")
    )
    out.print(f"      instruction sets: {escaped(', '.join(document['cpu_isa']) or 'none that matter here')}")
    out.print(f"INT8  {escaped(document['int8'])}")
    out.print(f"half  {escaped(document['half'])}")
    out.print(f"GPU   {escaped(document['gpu'] or 'no NVIDIA GPU seen')}")
    grid = table("\nWhat can be done here", "what", "state", "how to get it")
    export = document["export"]
    lacking = f"missing: {', '.join(export['missing'])}"
    grid.add_row(
        "export (weights to ONNX)",
        _state(export["ready"], lacking),
        "" if export["ready"] else escaped(export["install"]),
    )
    for name, target in document["targets"].items():
        reason, _, command = (target["missing"] or "").partition(": ")
        grid.add_row(f"--target {escaped(name)}", _state(not reason, reason), escaped(command))
    out.print(grid)
    versions = ", ".join(f"{name} {version}" for name, version in document["packages"].items())
    out.print(f"packages: {escaped(versions)}")
    out.print("telemetry: none; that of ONNX Runtime and OpenVINO is switched off in whatever dmformer starts")


def _cores(document: dict[str, Any]) -> str:
    """How many cores there are to use, and what keeps them below those of the machine."""
    usable, total, limit = document["cores"], document["cores_of_machine"], document["cpu_limit"]
    if usable == total:
        return f"{usable} cores"
    return f"{usable} of {total} cores" + (f" (this group's quota is {limit:g})" if limit is not None else "")


def _state(ready: bool, otherwise: str) -> str:
    from dmformer.cli.output import escaped

    return "[green]ready[/green]" if ready else f"[yellow]{escaped(otherwise)}[/yellow]"
