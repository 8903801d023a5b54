"""The decision inside the graph: a class for every pixel of the input, in place of scores that somebody must search.

Behind the scores come a bilinear resize to the input's size (half-pixel centres) and what decides there; the scores
stay an output. Runtimes differ by a factor of ten in how fast they find the largest of many planes, so a target's row
names the form for it; all forms give the same map, the first of equal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from dmformer.graph.passes import check
from dmformer.tasks.base import ClassMap

PREFIX = "class_map"
NCHW_TO_NHWC = (0, 2, 3, 1)

Attribute = str | int | Sequence[int]


class Chain:
    """Nodes one behind the other, each reading what the one before gives."""

    def __init__(self, graph: ir.Graph, start: ir.Value) -> None:
        self._graph, self.end = graph, start

    def add(self, kind: str, *inputs: ir.Value | None, label: str = "", **attributes: Attribute) -> Chain:
        """Appends an operator, whose first input is the end."""
        name = f"{PREFIX}.{label or kind.lower()}"
        node = ir.node(kind, [self.end, *inputs], attributes, name=name, outputs=[ir.val(f"{name}:0")])
        self._graph.append(node)
        self.end = node.outputs[0]
        return self

    def constant(self, name: str, values: object, dtype: type = np.float32) -> ir.Value:
        value = ir.val(f"{PREFIX}.{name}", const_value=ir.tensor(np.asarray(values, dtype)))
        self._graph.register_initializer(value)
        return value

    def resized(self, *scales: float) -> Chain:
        """Appends the resize."""
        sizes = self.constant("scales", scales)
        return self.add("Resize", None, sizes, mode="linear", coordinate_transformation_mode="half_pixel")


Form = Callable[[Chain, ClassMap], None]


def arg_max(chain: Chain, map_: ClassMap) -> None:
    """The plain form: arg max over the planes."""
    chain.resized(1, 1, map_.stride, map_.stride).add("ArgMax", axis=1, keepdims=0)
    # TensorRT makes bytes of floats alone.
    chain.add("Cast", label="number", to=ir.DataType.FLOAT)


def channels_last(chain: Chain, map_: ClassMap) -> None:
    """Arg max over the last axis, the scores of a pixel beside each other: what ONNX Runtime is fast at."""
    chain.add("Transpose", perm=NCHW_TO_NHWC).resized(1, map_.stride, map_.stride, 1).add("ArgMax", axis=3, keepdims=0)


def maximum(chain: Chain, map_: ClassMap) -> None:
    """The first plane that equals the largest: maxima are fast in OpenVINO, where arg max sorts."""
    resized = chain.resized(1, 1, map_.stride, map_.stride).end
    axis = chain.constant("axis", [1], np.int64)
    largest = chain.add("ReduceMax", axis, keepdims=1).end
    chain.end = resized
    numbers = chain.constant("numbers", np.arange(map_.planes).reshape(1, -1, 1, 1))
    chain.add("Equal", largest).add("Where", numbers, chain.constant("none", float(map_.planes)))
    chain.add("ReduceMin", axis, keepdims=0)


def above_threshold(chain: Chain, map_: ClassMap) -> None:
    """Of one plane: sigmoid above the threshold, which is the score above the threshold's logit."""
    chain.resized(1, 1, map_.stride, map_.stride).add("Greater", chain.constant("logit", map_.logit))
    chain.add("Squeeze", chain.constant("plane", [1], np.int64))


def with_class_map(model: onnx.ModelProto, map_: ClassMap, form: Form) -> onnx.ModelProto:
    """Adds the decision to a finished graph of any precision.

    Args:
        model: Gives scores ``[N, planes, h, w]`` in float32; it is not changed.
        map_: What to decide.
        form: How, where there is more than one plane.

    Returns:
        A graph that gives the map ``[N, H, W]`` as a second output.

    Raises:
        ExportError: The result is no valid graph.
    """
    deciding = ir.from_proto(model)
    (scores,) = deciding.graph.outputs
    chain = Chain(deciding.graph, scores)
    (above_threshold if map_.planes == 1 else form)(chain, map_)
    kind = ir.DataType[map_.spec.dtype.upper()]
    chain.add("Cast", to=kind)
    batch = next(iter(scores.shape or (None,)))
    chain.end.name, chain.end.type = map_.spec.name, ir.TensorType(kind)
    chain.end.shape = ir.Shape([batch, *map_.spec.shape[1:]])
    deciding.graph.outputs.append(chain.end)
    return check(ir.to_proto(deciding))
