"""The emitter of each target, as one kind of function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import onnx

from dmformer.errors import UsageError
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.channels_last import keep_channels_last
from dmformer.graph.qdq.coreml import emit_coreml
from dmformer.graph.qdq.onnxruntime import emit_onnxruntime
from dmformer.graph.qdq.openvino import emit_openvino
from dmformer.graph.qdq.scheme import scheme_for
from dmformer.graph.qdq.tensorrt import emit_tensorrt

Emitter = Callable[[onnx.ModelProto, Mapping[str, Range], Collection[str]], onnx.ModelProto]
"""From a float graph, ranges by site and the integer groups to a graph with Q/DQ."""

TARGETS = ("onnxruntime", "openvino", "tensorrt", "coreml")


def finished(model: onnx.ModelProto, target: str) -> onnx.ModelProto:
    """What is done to a whole graph after its target's emitter, when its biases need no more correction.

    Args:
        model: With Q/DQ.
        target: One of `TARGETS`.
    """
    return keep_channels_last(model) if target == "onnxruntime" else model


def emitter_for(target: str, isa: str) -> Emitter:
    """The emitter of a target.

    Args:
        target: One of `TARGETS`.
        isa: The CPU's instruction set (`scheme.CPU_ISAS`); only ``onnxruntime`` looks at it.

    Raises:
        UsageError: An unknown target or instruction set.
    """
    if target == "onnxruntime":
        return partial(emit_onnxruntime, scheme=scheme_for(isa))
    others: dict[str, Emitter] = {"openvino": emit_openvino, "tensorrt": emit_tensorrt, "coreml": emit_coreml}
    if target not in others:
        raise UsageError(f"there is no INT8 for target {target!r}", f"INT8 exists for {', '.join(TARGETS)}")
    return others[target]
