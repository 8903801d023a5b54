"""``dmformer inspect``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dmformer.cli.declare import Command, Given
from dmformer.cli.on import Travels
from dmformer.common_options import IMAGES
from dmformer.options import refuse_without
from dmformer.pipeline.options import INT8
from dmformer.pipeline.requests import NAMES, SENSITIVITY, InspectOptions

if TYPE_CHECKING:
    from dmformer.pipeline.inspected import (
        BundleDocument,
        NamesDocument,
        OnnxDocument,
        SensitivityDocument,
        WeightsDocument,
    )


def settled(given: Given, options: InspectOptions) -> InspectOptions:
    """Refuses what only the sensitivity reads, where nobody asked for it."""
    if not options.sensitivity:
        refuse_without(given, "--sensitivity", SENSITIVITY, IMAGES, INT8)
    if not options.names:
        refuse_without(given, "--names", NAMES)
    return options


def show(document: WeightsDocument | NamesDocument | OnnxDocument | BundleDocument | SensitivityDocument) -> None:
    """What is told of this kind of thing."""
    SHOW[document.kind](document)


def show_weights(document: WeightsDocument) -> None:
    """Configuration and counts."""
    from dmformer.cli.output import console, escaped, table

    height, width = document.size
    grid = table(
        f"{escaped(document.name)}: {document.parameters / 1e6:.2f} M parameters, "
        f"{document.macs / 1e9:.3f} G multiply-accumulates at {height:d}x{width:d}",
        "part", ">parameters", ">share", ">M MACs", ">share",
    )  # fmt: skip
    for part in document.parts:
        grid.add_row(
            escaped(part.name),
            f"{part.parameters:,}",
            f"{part.parameters / document.parameters:.1%}",
            f"{part.macs / 1e6:.2f}",
            f"{part.macs / document.macs:.1%}",
        )
    console().print(grid)
    show_fields("configuration", document.config)
    show_fields("preprocessing", document.preprocessing)
    for note in document.notes:
        console().print(f"[dim]•[/dim] {escaped(note)}")


def show_names(document: NamesDocument) -> None:
    """Every tensor, then what is missing, and what to do."""
    from dmformer.cli.output import console, escaped, table
    from dmformer.texts import listed

    grid = table(escaped(f"{document.path}: names of {document.names_of}"), "tensor", "shape", "taken for", "why")
    for tensor in document.tensors:
        open_ones = " or ".join(f"{one}?" for one in tensor.candidates) or "nothing"
        part = open_ones if tensor.taken_for is None else tensor.taken_for or "left out"
        sides = "x".join(map(str, tensor.shape)) or "scalar"
        grid.add_row(escaped(tensor.name), escaped(sides), escaped(part), escaped(tensor.why))
    console().print(grid)
    if document.missing:
        console().print(f"[red]nothing is taken for[/red] {escaped(listed(document.missing))}")
    for note in document.notes:
        console().print(f"[dim]•[/dim] {escaped(note)}")
    if document.rules:
        console().print(f"rules to complete: {escaped(document.rules)}")
    if document.problem:
        console().print(f"[red]does not load:[/red] {escaped(document.problem)}\n{escaped(document.hint or '')}")
    else:
        console().print("[green]loads[/green]")


def show_fields(title: str, fields: Mapping[str, Any]) -> None:
    """A table of names and values."""
    from dmformer.cli.output import console, escaped, table

    grid = table(escaped(title), "field", "value")
    for name, value in fields.items():
        grid.add_row(escaped(name), escaped(readable(value)))
    console().print(grid)


def readable(value: Any) -> str:
    """A value of a manifest as words: what is nested is joined, what is not there is a dash."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {readable(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(readable, value)) or "-"
    return "-" if value is None else str(value)


def show_onnx(document: OnnxDocument) -> None:
    """An ONNX file."""
    show_fields(document.path, document.model_dump(exclude={"schema_", "kind", "path", "operators"}))
    show_fields("operators", document.operators)


def show_bundle(document: BundleDocument) -> None:
    """A bundle and its proof."""
    from dmformer.cli.output import print_summaries, size_text

    manifest = document.manifest
    keep = ("name", "target", "input", "output", "runtime", "host", "tools")
    show_fields(document.path, {name: manifest[name] for name in keep})
    show_fields(
        "files", {name: f"{size_text(entry['bytes'])}, {entry['role']}" for name, entry in manifest["files"].items()}
    )
    show_fields("preprocessing", manifest["preprocessing"])
    if document.summary:
        print_summaries([document.summary])
    if document.engine_precision:
        show_precision(document.engine_precision)
    if document.neural_engine is not None:
        show_hints(document.neural_engine)


def show_precision(parts: tuple[dict[str, Any], ...]) -> None:
    """What each part of a TensorRT engine computes in, as the library told when it was built."""
    from dmformer.cli.output import console, escaped, table

    grid = table("convolutions and matrix products", "part", "Q/DQ", "computes in")
    for part in parts:
        layers = readable({f"{name} x": n for name, n in part["layers"].items()})
        grid.add_row(escaped(part["part"]), escaped(part["asked"]), escaped(layers))
    console().print(grid)


def show_hints(hints: tuple[dict[str, Any], ...]) -> None:
    """What may keep Core ML from the Neural Engine."""
    from dmformer.cli.output import console, escaped, table

    grid = table(
        "Neural Engine: what may fall back, from public guidance; nothing was measured", ">count", "what", "why"
    )
    for hint in hints:
        grid.add_row(escaped(str(hint["count"])), escaped(hint["what"]), escaped(f"{hint['why']} ({hint['source']})"))
    console().print(grid)


def show_sensitivity(document: SensitivityDocument) -> None:
    """The table, most noise per saved millisecond first."""
    from dmformer.cli.output import console, escaped, table

    grid = table(
        f"What INT8 for {escaped(document.target)} costs and saves, "
        f"measured in {escaped(document.measured_in)}: noise of each unit alone, time in the plan",
        "unit", "plan", ">noise added, % of energy", ">time saved, ms", ">noise per ms",
    )  # fmt: skip
    for unit in document.units:
        noise, saved = unit.noise * 100, unit.saved_ms
        worth = f"{noise / saved:.4f}" if saved > 0 else "float is faster" if noise or saved else "no integers there"
        grid.add_row(escaped(unit.unit), escaped(unit.planned), f"{noise:.4f}", f"{saved:.3f}", escaped(worth))
    console().print(grid)
    if document.picture:
        console().print(f"picture: {escaped(document.picture)}")


SHOW: dict[str, Any] = {
    "sensitivity": show_sensitivity,
    "weights": show_weights,
    "names": show_names,
    "onnx": show_onnx,
    "bundle": show_bundle,
}
INSPECT = Command(
    "inspect",
    InspectOptions,
    "dmformer.pipeline.inspecting:inspect",
    show,
    "Show what weights, an ONNX file or a bundle are made of: configuration, parameters, operations, proof.",
    (
        ("dmformer inspect best.pt", "configuration, parameters and operations"),
        ("dmformer inspect build/best-openvino-fp16", "a bundle and its proof"),
        ("dmformer inspect --preset small --imgsz 224", "a preset"),
        ("dmformer inspect best.pt --names --names-out rules.toml", "what each tensor is taken for"),
        ("dmformer inspect best.pt --sensitivity --data val/ --picture pareto.svg", "what INT8 costs and saves"),
    ),
    settle=settled,
    talks=False,
    travels=Travels(made=("picture", "names-out")),
)
