"""From an ONNX graph, with or without Q/DQ, to ncnn's two files.

The layers keep the names of the nodes, which ncnn's own converter (pnnx) does not: so ranges, plan and figures by layer
speak of the same layers. Precision is a property of the graph here too: float16 constants are stored as such, and a
layer whose input and weight are dequantized becomes an integer one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import onnx

from dmformer.errors import ExportError
from dmformer.graph.ncnn.layers import shapes_of, stored_in
from dmformer.graph.ncnn.network import Layer, NetworkError, to_text
from dmformer.graph.ncnn.operators import OPERATORS
from dmformer.graph.ncnn.weights import to_bytes
from dmformer.graph.ncnn.writer import Writer
from dmformer.graph.qdq.graph import Graph


@dataclass(frozen=True)
class Converted:
    """ncnn's two files.

    Attributes:
        param: The text of the layers.
        weights: What they hold.
    """

    param: str
    weights: bytes


def convert(model: onnx.ModelProto) -> Converted:
    """Converts a graph of any precision; its batch, whatever it is, has no place in ncnn's blobs.

    Raises:
        ExportError: An operator has no counterpart; the message names it and its node.
    """
    writer = Writer(Graph(model))
    for node in writer.graph.nodes:
        if node.op_type not in OPERATORS:
            raise ExportError(
                f"ncnn: the operator {node.op_type} ({node.name}) is not converted", "use --target onnxruntime for it"
            )
        if not writer.is_done(node):
            OPERATORS[node.op_type](writer, node)
    layers = with_splits(writer.named_outputs(), writer.graph.outputs)
    try:
        stored = [entry for _, entry in stored_in(layers, shapes_of(layers))]
        return Converted(to_text(layers), to_bytes(stored, writer.arrays))
    except NetworkError as error:
        raise ExportError(f"ncnn: {error}", "please report this") from error


def with_splits(layers: list[Layer], outputs: list[str]) -> tuple[Layer, ...]:
    """The layers with a ``Split`` behind each blob that is read more than once: in ncnn a blob has one reader.

    An output of the network that is read too is one branch of its ``Split``.
    """
    readers = Counter(name for layer in layers for name in layer.inputs)
    shared = {name for name, count in readers.items() if count + (name in outputs) > 1}
    branch: Counter[str] = Counter()
    result = []
    for layer in layers:
        inputs = []
        for name in layer.inputs:
            inputs.append(f"{name}/{branch[name]}" if name in shared else name)
            branch[name] += 1
        (blob,) = layer.outputs
        source = f"{blob}/all" if blob in outputs and blob in shared else blob
        result.append(replace(layer, inputs=tuple(inputs), outputs=(source,)))
        if blob in shared:
            branches = [f"{blob}/{number}" for number in range(readers[blob])]
            kept = [blob] if blob in outputs else []
            result.append(Layer("Split", f"{blob}/split", (source,), (*kept, *branches)))
    return tuple(result)
