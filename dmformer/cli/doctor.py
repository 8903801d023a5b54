"""``dmformer doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.requests import DoctorOptions

if TYPE_CHECKING:
    from dmformer.pipeline.doctor import DoctorDocument, TargetState


def show(document: DoctorDocument) -> None:
    """The document for people."""
    from dmformer.cli.output import console, escaped, size_text, table

    out = console()
    python = f"Python {document.python}, {document.os}"
    out.print(f"[bold]dmformer {escaped(document.dmformer)}[/bold], {escaped(python)}")
    memory = document.memory_bytes
    cpu = f"CPU   {document.cpu}, {_cores(document)}" + (f", {size_text(memory)}" if memory else "")
    out.print(escaped(cpu))
    out.print(f"      instruction sets: {escaped(', '.join(document.cpu_isa) or 'none that matter here')}")
    out.print(f"INT8  {escaped(document.int8)}")
    out.print(f"half  {escaped(document.half)}")
    out.print(f"GPU   {escaped(document.gpu or 'no NVIDIA GPU seen')}")
    grid = table("\nWhat can be done here", "what", "state", "how to get it")
    export = document.export
    lacking = f"missing: {', '.join(export.missing)}"
    install = "" if export.ready else export.install
    grid.add_row("export (weights to ONNX)", _state(export.ready, lacking), escaped(install))
    for name, target in document.targets.items():
        grid.add_row(f"--target {escaped(name)}", *_can(target, export.ready))
    out.print(grid)
    versions = ", ".join(f"{name} {version}" for name, version in document.packages.items())
    out.print(f"packages: {escaped(versions)}")
    out.print("telemetry: none; that of ONNX Runtime and OpenVINO is switched off in whatever dmformer starts")


def _cores(document: DoctorDocument) -> str:
    """How many cores there are to use, and what keeps them below those of the machine."""
    usable, total, limit = document.cores, document.cores_of_machine, document.cpu_limit
    if usable == total:
        return f"{usable} cores"
    return f"{usable} of {total} cores" + (f" (this group's quota is {limit:g})" if limit is not None else "")


def _can(target: TargetState, exports: bool) -> tuple[str, str]:
    """What can be done here of a target, and the command that installs what the rest needs."""
    from dmformer.cli.output import escaped

    makes, runs = exports and target.missing_for_export is None, target.missing is None
    reason, _, command = (target.missing or target.missing_for_export or "").partition(": ")
    if exports and makes != runs:
        reason = f"{'made' if makes else 'run'} here, not {'run' if makes else 'made'}: {reason}"
    return _state(not reason, reason), escaped(command)


def _state(ready: bool, otherwise: str) -> str:
    from dmformer.cli.output import escaped

    return "[green]ready[/green]" if ready else f"[yellow]{escaped(otherwise)}[/yellow]"


DOCTOR = Command(
    "doctor",
    DoctorOptions,
    "dmformer.pipeline.doctor:examine",
    show,
    "Tell what this machine can build and run, and how to install what is missing.",
    talks=False,
    travels=Travels(),
)
