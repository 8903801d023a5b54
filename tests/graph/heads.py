"""Dense heads on the backbone, as ONNX graphs: laterals of every stage, resized, joined and classified by position.

`dense_graph(Head())` is four 1x1 laterals, bilinear, summed; `heads()` draws all that a head may do to a backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dmformer.graph.passes import check
from dmformer.graph.qdq.graph import Graph
from dmformer.model.config import ModelConfig
from tests.calibration.graphs import SIDE, canonical_graph
from tests.support import TINY

WIDTH, CLASSES = 6, 5
INNER = ("stem.relu", "stem.conv3", "stages.0.0.add.1", "stages.1.0.dma.expand", "stages.2.0.dma.relu", "downsamples.1")
"""Nodes whose output a drawn head may hand out."""

Resizing = Literal["scales", "axes", "shape", "sizes"]
"""How a Resize is told its size: two constants, two constants for named axes, the batch's own shape with a constant
behind it, or (only in a graph of a fixed batch) four constants."""


@dataclass(frozen=True)
class Head:
    """A dense head.

    Attributes:
        laterals: For each stage the kernels of the convolutions that read it; 0 is the map itself, for ``concat``.
        join: How the maps of all stages, resized to the first one's size, become one.
        mode: Of every Resize.
        resizing: Of every Resize.
        relu: Whether a Relu follows each lateral.
        smooth: Whether a depthwise 3x3 and a 1x1 convolution follow the joining.
        tied: Whether laterals of the same shape share one weight.
        top_down: Whether the sum so far is resized stage by stage, as in a feature pyramid (not for ``concat``).
        enlarge: Whether the scores are resized to four times their size.
        outputs: Nodes whose value is an output of the graph too, as ``NODE/map``.
    """

    laterals: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (1,))
    join: Literal["sum", "concat"] = "sum"
    mode: Literal["linear", "nearest"] = "linear"
    resizing: Resizing = "scales"
    relu: bool = False
    smooth: bool = False
    tied: bool = False
    top_down: bool = False
    enlarge: bool = False
    outputs: tuple[str, ...] = ()


@st.composite
def heads(draw: st.DrawFn, resizings: Sequence[Resizing] = ("scales", "axes", "shape")) -> Head:
    join: Literal["sum", "concat"] = draw(st.sampled_from(("sum", "concat")))
    kernel = st.sampled_from((1, 3) if join == "sum" else (0, 1, 3))
    stage = st.lists(kernel, min_size=1, max_size=3).map(tuple)
    return Head(
        laterals=draw(st.tuples(stage, stage, stage, stage)),
        join=join,
        mode=draw(st.sampled_from(("linear", "nearest"))),
        resizing=draw(st.sampled_from(tuple(resizings))),
        relu=draw(st.booleans()),
        smooth=draw(st.booleans()),
        tied=draw(st.booleans()),
        top_down=join == "sum" and draw(st.booleans()),
        enlarge=draw(st.booleans()),
        outputs=tuple(draw(st.lists(st.sampled_from(INNER), unique=True, max_size=2))),
    )


def dense_graph(head: Head, batch: int | None = None, config: ModelConfig = TINY) -> onnx.ModelProto:
    """A canonical backbone with a dense head: ``image`` to ``logits`` ``[N, classes, side / 4, side / 4]``.

    Args:
        head: Its form.
        batch: Images in a batch; None leaves it open.
        config: Of the backbone; its classifier is left out.
    """
    model = onnx.ModelProto()
    model.CopyFrom(canonical_graph(config))
    del model.graph.node[-2:]  # the mean over the image and the classifier
    builder = _Builder(head, batch)
    maps = [f"stages.{stage}.{depth - 1}.add.1:0" for stage, depth in enumerate(config.depths)]
    builder.classify(builder.join(maps, config.widths))
    model.graph.node.extend(builder.nodes)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in builder.constants.items())
    del model.graph.output[:], model.graph.value_info[:]
    named = {f"{node}:0": f"{node}/map" for node in head.outputs}
    for node in model.graph.node:
        node.input[:] = [named.get(value, value) for value in node.input]
        node.output[:] = [named.get(value, value) for value in node.output]
    for name in ("logits", *named.values()):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    if batch is not None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    return check(Graph(model).model())


@dataclass
class _Builder:
    head: Head
    batch: int | None
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        output = "logits" if name == "head.logits" else f"{name}:0"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        self.constants.setdefault(name, np.asarray(values, dtype))
        return name

    def conv(self, source: str, channels: tuple[int, int], kernel: int, name: str, group: int = 1) -> str:
        entering, leaving = channels
        shape = (leaving, entering // group, kernel, kernel)
        stem = f"head.tied.{'x'.join(map(str, shape))}" if self.head.tied and "lateral" in name else name
        random = np.random.default_rng(len(self.constants))
        weight = random.standard_normal(shape) / np.sqrt(shape[1] * kernel**2)
        weights = self.constant(f"{stem}.weight", weight, np.float32)
        bias = self.constant(f"{stem}.bias", random.standard_normal(leaving) / 4, np.float32)
        attributes = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "group": group}
        return self.add("Conv", [source, weights, bias], name, **attributes)

    def resize(self, source: str, factor: int, side: int, channels: int, name: str) -> str:
        """To ``factor`` times the size, which is ``side`` then."""
        by, mode = self.head.resizing, self.head.mode
        if by == "scales":
            scales = self.constant(f"head.scales.{factor}", (1, 1, factor, factor), np.float32)
            return self.add("Resize", [source, "", scales], name, mode=mode)
        if by == "sizes":
            sizes = self.constant(f"{name}.size", (self.batch, channels, side, side))
            return self.add("Resize", [source, "", "", sizes], name, mode=mode)
        sides = self.constant(f"head.side.{side}", (side, side))
        if by == "axes":
            return self.add("Resize", [source, "", "", sides], name, mode=mode, axes=(2, 3))
        shape = self.add("Shape", [source], f"{name}.shape", end=2)
        whole = self.add("Concat", [shape, sides], f"{name}.sizes", axis=0)
        return self.add("Resize", [source, "", "", whole], name, mode=mode)

    def lateral(self, source: str, width: int, kernel: int, name: str) -> tuple[str, int]:
        """A stage's map as one lateral gives it, and its channels."""
        if not kernel:
            return source, width
        value = self.conv(source, (width, WIDTH), kernel, name)
        return self.add("Relu", [value], f"{name}.relu") if self.head.relu else value, WIDTH

    def join(self, maps: Sequence[str], widths: Sequence[int]) -> tuple[str, int]:
        """The joined map and its channels."""
        parts: list[tuple[str, int]] = []
        for stage in (3, 2, 1, 0):
            side = SIDE // 4 >> stage
            if self.head.top_down and parts:
                parts = [
                    (self.resize(self.sum(parts, f"head.sum.{stage}"), 2, side, WIDTH, f"head.down.{stage}"), WIDTH)
                ]
            for index, kernel in enumerate(self.head.laterals[stage]):
                name = f"head.lateral.{stage}.{index}"
                value, width = self.lateral(maps[stage], widths[stage], kernel, name)
                if stage and not self.head.top_down:
                    value = self.resize(value, 2**stage, SIDE // 4, width, f"{name}.resize")
                parts.append((value, width))
        if self.head.join == "sum":
            return self.sum(parts, "head.sum"), WIDTH
        return self.add("Concat", [value for value, _ in parts], "head.concat", axis=1), sum(w for _, w in parts)

    def sum(self, parts: Sequence[tuple[str, int]], name: str) -> str:
        total = parts[0][0]
        for index, (value, _) in enumerate(parts[1:]):
            total = self.add("Add", [total, value], f"{name}.{index}")
        return total

    def classify(self, joined: tuple[str, int]) -> None:
        value, width = joined
        if self.head.smooth:
            value = self.conv(value, (width, width), 3, "head.depthwise", group=width)
            value = self.add("Relu", [self.conv(value, (width, width), 1, "head.pointwise")], "head.relu")
        last = "head.scores" if self.head.enlarge else "head.logits"
        value = self.conv(value, (width, CLASSES), 1, last)
        if self.head.enlarge:
            self.resize(value, 4, SIDE, CLASSES, "head.logits")
