"""The emitter of each target, as one kind of function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import cast

import onnx

from dmformer.errors import UsageError
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.scheme import scheme_for
from dmformer.targets import TARGETS, get_target, load

Emitter = Callable[[onnx.ModelProto, Mapping[str, Range], Collection[str]], onnx.ModelProto]
"""From a float graph, ranges by site and the integer groups to a graph with Q/DQ."""


def finished(model: onnx.ModelProto, target: str) -> onnx.ModelProto:
    """What is done to a whole graph with Q/DQ after its target's emitter, when its biases need no more correction."""
    finish = get_target(target).finish
    return cast(onnx.ModelProto, load(finish)(model)) if finish else model


def emitter_for(target: str, isa: str) -> Emitter:
    """The emitter of a target.

    Args:
        target: Its name.
        isa: The CPU's instruction set (`scheme.CPU_ISAS`); only targets whose row says so look at it.

    Raises:
        UsageError: A target without INT8, or an unknown target or instruction set.
    """
    row = get_target(target)
    if row.emitter is None:
        able = ", ".join(row.name for row in TARGETS.values() if row.emitter)
        raise UsageError(f"{target}: INT8 is not made for this target", f"choose among {able}")
    emit = load(row.emitter)
    return partial(emit, scheme=scheme_for(isa)) if row.follows_isa else cast(Emitter, emit)
