"""What a project reads of an engine: its outputs, or of a task with a class for every pixel its map of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.fields import TensorSpec
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.tasks.base import Legend, Result

ENDINGS = {"float32": "f32", "uint8": "u8", "int32": "i32"}


@dataclass(frozen=True)
class Reading:
    """One output of an engine.

    Attributes:
        spec: What it is, at the usual size of the input.
        index: Its place among the engine's outputs.
        legend: How what it says is called and drawn.
    """

    spec: TensorSpec
    index: int
    legend: Legend


def reading(manifest: Manifest) -> Reading:
    """What a project reads: the decisions where the graph has them, else the outputs."""
    spec = manifest.answer or manifest.output
    index = manifest.outputs.index(spec)
    usual = spec.model_copy(update={"shape": manifest.outputs_for(manifest.usual_input)[index].shape})
    return Reading(usual, index, manifest.task.drawn(manifest.legend))


def check_decided(bundle: Bundle, language: str) -> None:
    """Raises `UsageError` where an engine leaves decisions to an application that cannot make them."""
    manifest = bundle.manifest
    if manifest.answer is None and manifest.task.class_map(manifest.output) is not None:
        raise UsageError(
            f"{bundle.path}: its engine gives scores, and {language} reads a map of classes", "export it with --argmax"
        )


def golden_answers(bundle: Bundle, golden: Golden) -> tuple[dict[str, Any], list[dict[str, NDArray[Any]]]]:
    """What PyTorch answers: what ``golden.json`` says of all, and the arrays of each sample by their names."""
    manifest, outputs = bundle.manifest, golden.outputs
    decided = manifest.task.class_map(manifest.output)
    if decided is None:
        described = {"output": list(outputs.shape[1:]), "classes": outputs.shape[1]}
        return described, [{"logits": output} for output in outputs]
    spec = manifest.answer or decided.spec
    result = Result(outputs, manifest.task.decisions(outputs) if manifest.answer else None)
    sizes = [(image.shape[0], image.shape[1]) for image in golden.images]
    answers = manifest.task.answers(result, manifest.preprocessing.resize, manifest.legend, sizes, 1)
    described = {"map": spec.dtype, "classes": len(reading(manifest).legend.names)}
    return described, [{"map": answer.classes.astype(spec.dtype)} for answer in answers]
