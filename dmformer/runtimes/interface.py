"""Whether an engine takes and gives what its manifest says: asked when it is opened, before it is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dmformer.fields import TensorSpec
from dmformer.manifest import Manifest

ENDLESS = frozenset({"Loop", "If", "Scan", "SequenceMap", "TensorIterator"})
"""Operators with graphs of their own, in ONNX and OpenVINO: no exporter writes them, and one may run for ever."""

COUNTS = ("none", "one", "two")


class InterfaceError(Exception):
    """An engine that is not the manifest's; a runtime's session makes an `EngineError` with the file's name of it."""


@dataclass(frozen=True)
class Tensor:
    """An input or output as a runtime reports it.

    Attributes:
        names: What it is called; OpenVINO knows several names of one tensor.
        shape: Sizes; None where one is open.
        dtype: As NumPy names it, or the runtime's own name of what NumPy has not got.
    """

    names: frozenset[str]
    shape: tuple[int | None, ...]
    dtype: str


def check_interface(inputs: Sequence[Tensor], outputs: Sequence[Tensor], manifest: Manifest) -> None:
    """Raises `InterfaceError` unless an engine has the manifest's one input and its outputs, in their order."""
    for kind, tensors, specs in (("input", inputs, (manifest.input,)), ("output", outputs, manifest.outputs)):
        if len(tensors) != len(specs):
            raise InterfaceError(f"it has {len(tensors)} {kind}s, the manifest says {COUNTS[len(specs)]}")
        for tensor, spec in zip(tensors, specs, strict=True):
            if problem := _difference(tensor, spec):
                raise InterfaceError(f"its {kind} is {problem}")


def check_operators(operators: Iterable[str]) -> None:
    """Raises `InterfaceError` where an engine holds an operator that may run for ever."""
    endless = sorted(ENDLESS & set(operators))
    if endless:
        raise InterfaceError(f"it has operators that dmformer never writes and that may not end: {', '.join(endless)}")


def _difference(tensor: Tensor, spec: TensorSpec) -> str | None:
    if spec.name not in tensor.names:
        return f"{_listed(tensor.names)}, the manifest says {spec.name!r}"
    open_or_equal = all(got in (None, want) for got, want in zip(tensor.shape, spec.shape, strict=False))
    if len(tensor.shape) != len(spec.shape) or not open_or_equal:
        return f"{_sizes(tensor.shape)}, the manifest says {_sizes(spec.shape)}"
    return None if tensor.dtype == spec.dtype else f"{tensor.dtype[:40]}, the manifest says {spec.dtype}"


def _listed(names: frozenset[str]) -> str:
    return " or ".join(repr(name[:40]) for name in sorted(names)[:3]) or "without a name"


def _sizes(shape: tuple[int | None, ...]) -> str:
    return "x".join("N" if size is None else str(size) for size in shape) or "a scalar"
