"""W8A16 and W8A8 in an ML Program, with this project's own ranges: coremltools measures ranges on macOS only.

W8A16 stores weights as int8 codes with one scale for each output channel (``constexpr_affine_dequantize``, iOS 16).
W8A8 puts ``quantize`` and ``dequantize`` (iOS 17) in front of integer layers besides; Core ML then computes them in
integers where the hardware does (coremltools, "Quantization Overview"). Symmetric, zero points 0; biases, additions
and the gate stay in float. The program is edited after all of coremltools' passes, so that none folds the codes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import ExportError
from dmformer.graph.qdq.affine import Range

REACH = 127
LAYERS = ("conv", "linear")
WEIGHT_SUFFIXES = ("_to_fp16", ".weight", "_weight")
SMALLEST_HALF = float(2.0**-14)
"""Below it float16 has fewer digits: a scale is kept above."""
SMALLEST_SINGLE = 1e-12


def quantize_program(
    program: Any,
    weights: Mapping[str, NDArray[np.float32]],
    layers: Collection[str],
    ranges: Mapping[str, Range] | None,
) -> None:
    """Rewrites a program in place.

    Args:
        program: A finished ``coremltools.converters.mil.Program`` whose weights are named by module.
        weights: The float32 weights by module.
        layers: Modules whose weights become int8.
        ranges: For W8A8, the range of each of these layers' inputs by module; None writes W8A16.

    Raises:
        ExportError: A layer is not in the program.
    """
    block = program.functions["main"]
    modules = {name.replace(".", "_"): name for name in weights}
    operations = {name: op for op in block.operations if (name := _module_of(op, modules)) is not None}
    missing = sorted(set(layers) - set(operations))
    if missing:
        raise ExportError(f"the ML Program has no layer {missing[0]}", "please report this")
    pairs: dict[str, Any] = {}
    for name in sorted(layers, key=list(operations).index):
        with block, _scope(name):
            _quantize_weight(block, operations[name], weights[name])
            if ranges is not None and name in ranges:
                _quantize_input(operations[name], ranges[name], pairs)


def _scope(module: str) -> Any:
    """Coremltools wants to know of every operation which module it comes from."""
    from coremltools.converters.mil import Builder as mb  # noqa: N813 - its usual name
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    return mb.scope(
        ScopeInfo(source=ScopeSource.TORCHSCRIPT_MODULE_TYPE, data=["int8"]),
        ScopeInfo(source=ScopeSource.TORCHSCRIPT_MODULE_NAME, data=[module]),
    )


def _module_of(op: Any, modules: Mapping[str, str]) -> str | None:
    """The module that an operation comes from, by the name of its weight."""
    if op.op_type not in LAYERS:
        return None
    name = str(op.weight.name)
    for suffix in WEIGHT_SUFFIXES:
        name = name.removesuffix(suffix)
    return modules.get(name.replace(".", "_").removeprefix("network_"))


def weight_codes(weight: NDArray[np.float32], dtype: Any) -> tuple[NDArray[np.int8], NDArray[np.floating[Any]]]:
    """int8 codes of a weight and the scale of each output channel.

    Args:
        weight: ``[out, ...]``.
        dtype: float16 or float32, in which the scales are stored; codes are made for the stored scales.

    Returns:
        Codes from -127 to 127 in the shape of the weight, and scales ``[out]``.
    """
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    smallest = SMALLEST_HALF if dtype == np.float16 else SMALLEST_SINGLE
    scales = np.maximum(largest / REACH, smallest).astype(dtype)
    shaped = scales.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
    return np.clip(np.rint(weight / shaped), -REACH, REACH).astype(np.int8), scales


def _quantize_weight(block: Any, op: Any, weight: NDArray[np.float32]) -> None:
    from coremltools.converters.mil import Builder as mb  # noqa: N813 - its usual name
    from coremltools.converters.mil.mil import types

    dtype = types.nptype_from_builtin(op.weight.dtype)
    codes, scales = weight_codes(weight.reshape(op.weight.shape), dtype)
    unpacked = mb.constexpr_affine_dequantize(
        quantized_data=codes,
        zero_point=np.int8(0),
        scale=scales,
        axis=np.int32(0),
        before_op=op,
        name=f"{op.weight.name}_codes",
    )
    floating = op.weight
    op.set_inputs(no_check_var_types=True, weight=unpacked)
    if not floating.child_ops:
        block.remove_ops([floating.op])


def _quantize_input(op: Any, span: Range, pairs: dict[str, Any]) -> None:
    """Puts quantize and dequantize in front of a layer; layers that read the same value share the pair."""
    from coremltools.converters.mil import Builder as mb  # noqa: N813 - its usual name
    from coremltools.converters.mil.mil import types

    source = op.x
    dtype = types.nptype_from_builtin(source.dtype)
    smallest = SMALLEST_HALF if dtype == np.float16 else SMALLEST_SINGLE
    scale = dtype(max(max(abs(span.low), abs(span.high)) / REACH, smallest))
    key = f"{source.name} {float(scale)}"
    if key not in pairs:
        codes = mb.quantize(input=source, scale=scale, output_dtype="int8", before_op=op, name=f"{source.name}_int8")
        pairs[key] = mb.dequantize(input=codes, scale=scale, before_op=op, name=f"{source.name}_real")
    op.set_inputs(no_check_var_types=True, x=pairs[key])
