"""What in a package may keep Core ML from the Neural Engine: a static check, with the reason and the source of each.

Apple publishes no list of what the Neural Engine runs; what is said here is its public guidance. Nothing was measured:
on a Mac, `dmformer.runtimes.coreml.device.compute_plan` tells what Core ML itself prefers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.coreml.session import package_of
from dmformer.runtimes.mlprogram.messages import Operation, Value
from dmformer.runtimes.mlprogram.package import Package, PackageError, read_package

GUIDE = "Apple, 'Deploying Transformers on the Apple Neural Engine' (2022)"
TYPED = "coremltools guide, 'Typed Execution'"
FLEXIBLE = "coremltools guide, 'Flexible Input Shapes'"
QUANTIZED = "coremltools guide, 'Quantization Overview'"
COMMUNITY = "M. Hollemans, 'neural-engine' notes (not Apple's)"
LAST_AXIS = 64
"""Bytes to which the last axis of a buffer is padded on the Neural Engine (`GUIDE`)."""


@dataclass(frozen=True)
class Hint:
    """What stands in a package how often, why it matters, and who says so."""

    what: str
    count: int
    why: str
    source: str


def neural_engine_hints(path: Path) -> tuple[Hint, ...]:
    """Reads a package and says what may fall back.

    Raises:
        PackageError: It cannot be read.
    """
    package = read_package(path)
    hints = [*_dtypes(package), *_convolutions(package), *_layout(package), *_shapes(package), *_integers(package)]
    return tuple(hint for hint in hints if hint.count)


def describe(bundle: Bundle) -> dict[str, Any]:
    """What ``inspect`` tells of a bundle: the hints as plain data.

    Raises:
        EngineError: The package cannot be read.
    """
    path = package_of(bundle)
    try:
        return {"neural_engine": [asdict(hint) for hint in neural_engine_hints(path)]}
    except PackageError as error:
        raise EngineError(f"{path}: cannot load it ({error})", "export it again") from error


def _dtypes(package: Package) -> list[Hint]:
    computed = [op for op in package.model.program.operations if op.kind not in ("const", "cast", "classify")]
    wide = [op for op in computed if any(kind.dtype == "float32" for _, kind in op.outputs)]
    # An image's scale and bias are float32 in every package, in front of the first cast.
    inner = [op for op in wide if not op.outputs[0][0].startswith("image__")]
    why = "the Neural Engine computes in float16 only: these run on the CPU or the GPU"
    return [Hint("float32 operations", len(inner), why, TYPED)]


def _convolutions(package: Package) -> list[Hint]:
    content = _contents(package)
    dilated: Counter[str] = Counter()
    strided: Counter[str] = Counter()
    for op in package.model.program.operations:
        if op.kind != "conv":
            continue
        extent = "x".join(str(side) for side in _weight_shape(op, package)[2:])
        dilation, stride = (_largest(op, name, content) for name in ("dilations", "strides"))
        if dilation > 1:
            dilated[f"{extent} convolutions with dilation {dilation}"] += 1
        if stride > 2:
            strided[f"{extent} convolutions with stride {stride}"] += 1
    why = "dilated convolutions were seen to leave the Neural Engine on some systems"
    hints = [Hint(what, count, why, COMMUNITY) for what, count in sorted(dilated.items())]
    return hints + [
        Hint(what, n, "large strides were seen to leave it", COMMUNITY) for what, n in sorted(strided.items())
    ]


def _layout(package: Package) -> list[Hint]:
    narrow = 0
    for op in package.model.program.operations:
        for _, kind in op.outputs:
            last = kind.shape[-1] if len(kind.shape) == 4 and kind.dtype == "float16" else None
            narrow += last is not None and last * 2 < LAST_AXIS // 2 and op.kind not in ("const",)
    why = "the last axis is padded to 64 bytes: rows of fewer than 16 halves use less than half of the memory traffic"
    return [Hint("tensors with short rows", narrow, why, GUIDE)]


def _shapes(package: Package) -> list[Hint]:
    open_inputs = sum(None in kind.shape for kind in package.model.program.inputs.values())
    why = "enumerated shapes may run on the Neural Engine, only the default one without being compiled anew"
    return [Hint("inputs of several sizes", open_inputs, why, FLEXIBLE)]


def _integers(package: Package) -> list[Hint]:
    pairs = sum(op.kind == "quantize" for op in package.model.program.operations)
    why = "W8A8 is faster on the Neural Engine of A17 Pro, M4 and later; older ones compute these layers in float16"
    return [Hint("quantized activations", pairs, why, QUANTIZED)]


def _contents(package: Package) -> dict[str, Any]:
    """The values of small constants by name."""
    contents: dict[str, Any] = {}
    for op in package.model.program.operations:
        value = op.inputs.get("val", ("",))[0]
        if op.kind == "const" and isinstance(value, Value):
            contents[op.outputs[0][0]] = package.content(value)
    return contents


def _largest(op: Operation, name: str, content: dict[str, Any]) -> int:
    bound = op.inputs.get(name, ("",))[0]
    value = bound.content if isinstance(bound, Value) else content.get(bound)
    return int(np.max(value)) if isinstance(value, np.ndarray) and value.size else 1


def _weight_shape(op: Operation, package: Package) -> tuple[int | None, ...]:
    bound = op.inputs["weight"][0]
    if isinstance(bound, Value):
        return bound.type.shape
    outputs = (output for other in package.model.program.operations for output in other.outputs)
    return next((kind.shape for name, kind in outputs if name == bound), ())
