"""What is known about weights: written down with them, or else implied by their names and shapes.

Everything of `ModelConfig` shows in the shapes except the dilations of the levels. Ratios are not
unique where widths are small: those found reproduce the shapes exactly, which is all that counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dmformer.errors import CheckpointError, UsageError
from dmformer.fields import Palette
from dmformer.model.config import STAGES, ModelConfig
from dmformer.model.sidecar import MAX_JSON_BYTES, SIDECAR, is_ours, read_sidecar
from dmformer.model.state_dicts import mismatch
from dmformer.preprocessing import Preprocessing
from dmformer.reading import read_bounded
from dmformer.tasks.registry import infer_head
from dmformer.texts import first_problem

Shapes = Mapping[str, tuple[int, ...]]

MAX_REDUCTION = 1024
ROOTS = ("stem", "downsamples", "stages", "norm", "head")
_BLOCK = re.compile(r"stages\.([0-3])\.([0-9]{1,3})\.")
_LEVEL = re.compile(r"stages\.0\.0\.dma\.levels\.([0-9]{1,2})\.weight")
_STEM = ("stem.conv1.weight", "stem.conv3.weight")
_STAGE_NORMS = {"stem": "stem.norm3.weight", "before": "norms_before.0.weight", "after": "norms_after.0.weight"}
_CONV_BIAS = {"stem": "stem.conv1.bias", "levels": "stages.0.0.dma.levels.0.bias"}
_PER_STAGE = ("dma.gate.reduce.weight", "ffn.conv1.weight")


class Description(BaseModel):
    """What a file says about weights: the safetensors metadata, and `config.json` beside a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    palette: Palette | None = None
    name: str | None = None

    def to_json(self) -> str:
        """JSON in a fixed order, with numbers written as they would be after reading them."""
        values = Description.model_validate(self.model_dump()).model_dump(mode="json", exclude_none=True)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


def read_description(metadata: str | None, path: Path) -> tuple[Description, bytes | None, tuple[str, ...]]:
    """What a file says of itself, or else `config.json` beside it; empty where both are silent.

    Args:
        metadata: The project's JSON from the file's own header, if there.
        path: The file.

    Returns:
        The description; the content of a `config.json` that is another program's; what was left aside, in words.

    Raises:
        CheckpointError: It is meant for this project, and no JSON of at most 1 MiB that describes a network.
    """
    if metadata is not None:
        return _parsed(metadata.encode(), f"{path} (metadata)"), None, ()
    try:
        content = read_sidecar(path)
    except OSError as error:
        return Description(), None, (f"{SIDECAR} beside the weights is left aside ({error.strerror})",)
    if content is not None and is_ours(content):
        return _parsed(content, str(path.parent / SIDECAR)), None, ()
    return Description(), content, ()


def _bounded_bytes(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_JSON_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})", "Check the path.") from error


def _parsed(content: bytes, source: str) -> Description:
    """A description from JSON: wrapped as `Description`, or the bare keys of `ModelConfig`."""
    hint = "Mend it or take it away: the configuration can also be inferred or given as an argument."
    if len(content) > MAX_JSON_BYTES:
        raise CheckpointError(f"{source}: more than 1 MiB of JSON", hint)
    try:
        document = json.loads(content)
        if isinstance(document, dict) and "widths" in document:
            document = {"model": document}
        return Description.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise CheckpointError(f"{source}: no valid configuration ({first_problem(error)})", hint) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{source}: not readable as JSON", hint) from error


def read_labels(path: Path) -> tuple[str, ...]:
    """Labels from a JSON list, or from text with one label per line.

    Raises:
        UsageError: Neither of the two.
        CheckpointError: The file cannot be read, is no regular file, or is larger than 1 MiB.
    """
    content = _bounded_bytes(path)
    hint = "Give a text file with one label per line, or a JSON list of strings."
    try:
        text = content.decode("utf-8-sig")
        if path.suffix.lower() != ".json" and not re.match(r'\s*\[\s*"', text):
            return tuple(line.strip().replace("\t", " ") for line in text.rstrip().splitlines())
        labels = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: neither UTF-8 text nor a JSON list", hint) from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise UsageError(f"{path}: not a JSON list of strings", hint)
    return tuple(labels)


def infer_config(shapes: Shapes, source: str) -> ModelConfig:
    """The configuration whose network has these shapes; its dilations are an assumption (1, 2, 3, ...).

    Args:
        shapes: Of every tensor, by the network's names. Only the telling ones are looked at: a caller compares
            all of them with the result.
        source: The file, for messages.

    Raises:
        CheckpointError: Telling tensors are missing or of a wrong rank, or no configuration reproduces their shapes.
    """
    _require(shapes, source)
    widths = _widths(shapes)
    kernels = _kernels(shapes)
    try:
        return ModelConfig(
            widths=widths,
            depths=_depths(shapes),
            expansion=_expansion(shapes, widths[0], source),
            ffn_ratios=tuple(
                shapes[f"stages.{stage}.0.ffn.conv1.weight"][0] / width for stage, width in enumerate(widths)
            ),
            gate_reduction=_gate_reduction(shapes, widths, source),
            kernels=kernels,
            # Dilations 1, 2, 3, ... by the level's index: the paper's for its three levels (section 3.2).
            dilations=tuple(range(1, len(kernels) + 1)),
            stem_width=shapes["stem.conv1.weight"][0],
            in_channels=shapes["stem.conv1.weight"][1],
            # Where no head is known the comparison that follows names the tensors.
            head=infer_head(shapes),
            norm="batch" if any(name.endswith("running_mean") for name in shapes) else "none",
            layer_scale=any(name.endswith((".scale1.weight", ".scale2.weight")) for name in shapes),
            stage_norms=tuple(place for place, name in _STAGE_NORMS.items() if name in shapes),
            conv_bias=_conv_bias(shapes),
        )
    except ValidationError as error:
        raise CheckpointError(
            f"{source}: the shapes describe no possible DMFormer: {first_problem(error)}",
            "Check that these are weights of a DMFormer.",
        ) from error


def _required() -> dict[str, int]:
    """Ranks of the tensors that tell the configuration."""
    names = [*_STEM, *(f"downsamples.{index}.weight" for index in range(STAGES - 1))]
    names += ["stages.0.0.dma.expand.weight", "stages.0.0.dma.levels.0.weight"]
    names += [f"stages.{stage}.0.{part}" for stage in range(STAGES) for part in _PER_STAGE]
    return dict.fromkeys(names, 4)


def required_names() -> tuple[str, ...]:
    """The tensors without which no configuration can be inferred."""
    return tuple(_required())


def _conv_bias(shapes: Shapes) -> tuple[str, ...]:
    """Where convolutions have biases in front of a norm; without norms all have them anyway."""
    if not any(name.endswith("running_mean") for name in shapes):
        return ()
    return tuple(place for place, name in _CONV_BIAS.items() if name in shapes)


def _require(shapes: Shapes, source: str) -> None:
    ranks = _required()
    missing = [name for name in ranks if name not in shapes]
    ranks |= {name: 4 for name in shapes if _LEVEL.fullmatch(name)}
    ranks["head.weight"] = 2
    misshapen = [
        f"{name} (expected {rank} dimensions of at least 1, found {shapes[name]})"
        for name, rank in ranks.items()
        if name in shapes and (len(shapes[name]) != rank or 0 in shapes[name])
    ]
    surplus = [name for name in shapes if name.split(".")[0] not in ROOTS]
    if missing or misshapen:
        raise mismatch(source, missing, surplus, misshapen)


def _widths(shapes: Shapes) -> tuple[int, ...]:
    later = (shapes[f"downsamples.{index}.weight"][0] for index in range(STAGES - 1))
    return shapes["stem.conv3.weight"][0], *later


def _depths(shapes: Shapes) -> tuple[int, ...]:
    depths = [0] * STAGES
    for name in shapes:
        if match := _BLOCK.match(name):
            stage, block = int(match[1]), int(match[2])
            depths[stage] = max(depths[stage], block + 1)
    return tuple(depths)


def _kernels(shapes: Shapes) -> tuple[int, ...]:
    sides = {int(match[1]): shapes[name][2] for name in shapes if (match := _LEVEL.fullmatch(name))}
    return tuple(sides[index] for index in sorted(sides))


def _expansion(shapes: Shapes, width: int, source: str) -> int:
    inner = shapes["stages.0.0.dma.expand.weight"][0]
    if inner % width:
        raise CheckpointError(f"{source}: DMA expands {width} channels to {inner}, which is no multiple of them")
    return inner // width


def _gate_reduction(shapes: Shapes, widths: tuple[int, ...], source: str) -> int:
    """The smallest reduction that gives the gate's width in every stage."""
    gates = [shapes[f"stages.{stage}.0.dma.gate.reduce.weight"][0] for stage in range(STAGES)]
    for reduction in range(1, MAX_REDUCTION + 1):
        if all(max(1, width // reduction) == gate for width, gate in zip(widths, gates, strict=True)):
            return reduction
    raise CheckpointError(
        f"{source}: no single gate reduction turns the widths {widths} into the gate widths {tuple(gates)}",
        "Give the configuration that the network was trained with, in config.json beside the file.",
    )
