"""PyTorch's conversion to ONNX, once in a process for each network and shape: it is most of an export's time.

The same network has the same graph (tests/graph/test_determinism.py converts anew), and everything after the conversion
runs each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import onnx
import onnx_ir as ir

from dmformer.graph.from_torch import GraphOptions, onnx_from_torch
from dmformer.model.network import DMFormer

Convert = Callable[[DMFormer, GraphOptions], ir.Model]


def remembered(convert: Convert = onnx_from_torch) -> Convert:
    """A conversion that keeps what it made, and gives a copy of it to who asks for the same again."""
    made: dict[tuple[str, GraphOptions], bytes] = {}

    def converted(model: DMFormer, options: GraphOptions) -> ir.Model:
        key = digest(model), replace(options, simplify=True)  # The simplifier comes later.
        if key not in made:
            made[key] = ir.to_proto(convert(model, options)).SerializeToString()
        return ir.from_proto(onnx.load_model_from_string(made[key]))

    return converted


def digest(model: DMFormer) -> str:
    """Of all that a conversion reads: the modules, what they were made with, and their tensors."""
    told = hashlib.sha256(f"{model.config!r} {model!r}".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        told.update(f"{name} {tensor.shape} {tensor.dtype}".encode())
        told.update(tensor.detach().numpy().tobytes())
    return told.hexdigest()
