"""``dmformer inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmformer.cli import int8, options
from dmformer.cli import weights as weights_options
from dmformer.cli.sensitivity import show_sensitivity
from dmformer.errors import UsageError
from dmformer.targets import DEFAULT

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint

SENSITIVITY = "INT8 sensitivity"
EXAMPLES = (
    ("dmformer inspect best.pt", "configuration, parameters and operations"),
    ("dmformer inspect build/best-openvino-fp16", "a bundle and its proof"),
    ("dmformer inspect --preset small --imgsz 224", "a preset"),
    ("dmformer inspect best.pt --sensitivity --data val/ --picture pareto.svg", "what INT8 costs and saves"),
)


def inspect(  # noqa: PLR0913 - one parameter for each option
    context: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(help="Weights, an ONNX file or a bundle. Default: the embedded checkpoint.", show_default=False),
    ] = None,
    imgsz: Annotated[
        list[int] | None,
        typer.Option(
            "--imgsz", help="Input size to count for, where weights are inspected.", show_default="the checkpoint's"
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Inspect a preset: tiny, small or large.", show_default=False)
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="What INT8 costs and saves, by layer group.", rich_help_panel=SENSITIVITY),
    ] = False,
    target: Annotated[
        str, typer.Option("--target", "-t", help="The runtime to measure in.", rich_help_panel=SENSITIVITY)
    ] = DEFAULT,
    granularity: Annotated[
        str,
        typer.Option("--granularity", help="stage, or block for every group alone.", rich_help_panel=SENSITIVITY),
    ] = "stage",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="Draw it into a .svg, .png or .pdf.", show_default=False, rich_help_panel=SENSITIVITY
        ),
    ] = None,
    data: options.Data = None,
    max_images: options.MaxImages = None,
    calibration: int8.Calibration = None,
    images: int8.Images = 256,
    allow_random: int8.AllowRandom = False,
    json: options.Json = False,
) -> int:
    """Show what weights, an ONNX file or a bundle are made of: configuration, parameters, operations, proof."""
    from dmformer.cli.output import print_json

    if preset is not None and path is not None:
        raise UsageError("--preset and a file exclude each other", "leave one of them out")
    size = options.parse_size(imgsz)
    if sensitivity:
        from dmformer.cli.sensitivity import describe_sensitivity
        from dmformer.pipeline.options import ExportOptions, Int8Options

        asked = ExportOptions(
            (target,),
            size=size,
            data=data,
            max_images=max_images,
            int8=Int8Options(calibration=calibration, images=images, allow_random=allow_random),
        )
        chosen = weights_options.choose_weights(path, preset, preset is not None, None, None)
        kind, document = "sensitivity", describe_sensitivity(chosen, asked, granularity, picture)
    else:
        options.refuse_without(context, "--sensitivity", SENSITIVITY, options.IMAGES, int8.INT8)
        kind, document = describe(path, preset, size)
    if json:
        print_json("dmformer.inspect/1", {"kind": kind, **document})
    else:
        SHOW[kind](document)
    return 0


def describe(path: Path | None, preset: str | None, size: tuple[int, int] | None) -> tuple[str, dict[str, Any]]:
    """What is at a path, and its description."""
    if path is not None and path.is_dir():
        return "bundle", describe_bundle(path)
    if path is not None and path.suffix == ".onnx":
        from dmformer.graph.summary import describe_onnx

        return "onnx", describe_onnx(path)
    from dmformer.model.checkpoint import random_checkpoint
    from dmformer.pipeline.sources import resolve_checkpoint

    return "weights", describe_checkpoint(random_checkpoint(preset) if preset else resolve_checkpoint(path), size)


def describe_bundle(path: Path) -> dict[str, Any]:
    """A checked bundle's manifest."""
    from dmformer.bundle import Bundle

    bundle = Bundle.load(path)
    document: dict[str, Any] = {"path": str(path), "manifest": bundle.manifest.model_dump(mode="json", by_alias=True)}
    from dmformer.evaluation.layers.engine import parts_of_engine
    from dmformer.targets import get_target, load

    if describe := get_target(bundle.manifest.target).describe:
        document |= load(describe)(bundle)

    if parts := parts_of_engine(bundle):
        document["engine_precision"] = [vars(part) for part in parts]
    return document


def describe_checkpoint(checkpoint: Checkpoint, size: tuple[int, int] | None) -> dict[str, Any]:
    """Configuration and counts of weights."""
    from dmformer.model.counting import count

    chosen = size or checkpoint.preprocessing.size
    counted = count(checkpoint.config, chosen)
    return {
        "name": checkpoint.name,
        "sha256": checkpoint.digest,
        "size": list(chosen),
        "parameters": counted.parameters,
        "macs": counted.macs,
        "parts": [vars(part) for part in counted.per_part],
        "config": checkpoint.config.model_dump(mode="json"),
        "preprocessing": checkpoint.preprocessing.model_dump(mode="json"),
        "labels": checkpoint.labels,
        "notes": list(checkpoint.notes),
    }


def show_weights(document: dict[str, Any]) -> None:
    """Configuration and counts."""
    from dmformer.cli.output import console, escaped, table

    height, width = document["size"]
    grid = table(
        f"{escaped(document['name'])}: {document['parameters'] / 1e6:.2f} M parameters, "
        f"{document['macs'] / 1e9:.3f} G multiply-accumulates at {height:d}x{width:d}",
        "part", ">parameters", ">share", ">M MACs", ">share",
    )  # fmt: skip
    for part in document["parts"]:
        grid.add_row(
            escaped(part["name"]),
            f"{part['parameters']:,}",
            f"{part['parameters'] / document['parameters']:.1%}",
            f"{part['macs'] / 1e6:.2f}",
            f"{part['macs'] / document['macs']:.1%}",
        )
    console().print(grid)
    show_fields("configuration", document["config"])
    show_fields("preprocessing", document["preprocessing"])
    for note in document["notes"]:
        console().print(f"[dim]•[/dim] {escaped(note)}")


def show_fields(title: str, fields: dict[str, Any]) -> None:
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
    if isinstance(value, list):
        return ", ".join(map(readable, value)) or "-"
    return "-" if value is None else str(value)


def show_onnx(document: dict[str, Any]) -> None:
    """An ONNX file."""
    show_fields(
        document["path"], {name: value for name, value in document.items() if name not in ("path", "operators")}
    )
    show_fields("operators", document["operators"])


def show_bundle(document: dict[str, Any]) -> None:
    """A bundle and its proof."""
    from dmformer.bundle import Bundle
    from dmformer.cli.output import print_summaries, size_text
    from dmformer.summary import summarize

    manifest = document["manifest"]
    keep = ("name", "target", "input", "output", "runtime", "host", "tools")
    show_fields(document["path"], {name: manifest[name] for name in keep})
    show_fields(
        "files", {name: f"{size_text(entry['bytes'])}, {entry['role']}" for name, entry in manifest["files"].items()}
    )
    show_fields("preprocessing", manifest["preprocessing"])
    bundle = Bundle.load(document["path"])
    if bundle.manifest.proof:
        print_summaries([summarize(bundle, bundle.manifest.proof)])
    if "engine_precision" in document:
        show_precision(document["engine_precision"])
    if "neural_engine" in document:
        show_hints(document["neural_engine"])


def show_precision(parts: list[dict[str, Any]]) -> None:
    """What each part of a TensorRT engine computes in, as the library told when it was built."""
    from dmformer.cli.output import console, escaped, table

    grid = table("convolutions and matrix products", "part", "Q/DQ", "computes in")
    for part in parts:
        layers = readable({f"{name} x": n for name, n in part["layers"].items()})
        grid.add_row(escaped(part["part"]), escaped(part["asked"]), escaped(layers))
    console().print(grid)


def show_hints(hints: list[dict[str, Any]]) -> None:
    """What may keep Core ML from the Neural Engine."""
    from dmformer.cli.output import console, escaped, table

    grid = table(
        "Neural Engine: what may fall back, from public guidance; nothing was measured", ">count", "what", "why"
    )
    for hint in hints:
        grid.add_row(escaped(str(hint["count"])), escaped(hint["what"]), escaped(f"{hint['why']} ({hint['source']})"))
    console().print(grid)


SHOW = {"sensitivity": show_sensitivity, "weights": show_weights, "onnx": show_onnx, "bundle": show_bundle}
