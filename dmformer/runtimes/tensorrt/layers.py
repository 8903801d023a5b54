"""What a finished engine computes in, layer by layer, as the library itself describes it.

Two sources with one form: the engine inspector's one-line format, which needs a GPU because the engine must be
opened, and the builder's own description of the same engine, which it logs when it has finished.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt as trt

LAYERS_FILE = "layers.json"
_LINE = re.compile(r"^Name: (?P<name>.+?), LayerType: (?P<kind>\w+)(?P<rest>.*)$")
_DATATYPE = re.compile(r"(?:Datatype|Format/Datatype): ([A-Za-z0-9]+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
GENERATED = frozenset({"kgen", "Reformat", "NoOp", "PointWise", "PointWiseV2", "Shuffle"})
"""Kinds of layers without products of their own."""
NAMES = {
    "Float": "float32",
    "FP32": "float32",
    "Half": "float16",
    "FP16": "float16",
    "Int8": "int8",
    "BFloat16": "bfloat16",
}


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: The library's name for it.
        kind: The library's kind of kernel.
        inputs: Types of the tensors that it reads, without constants; likewise `outputs`, and `constants`.
        nodes: Nodes of the ONNX graph that it was made of.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]


def read_layers(text: str) -> tuple[EngineLayer, ...]:
    """The layers in a description of an engine; lines that describe none are passed over."""
    found = []
    for line in text.splitlines():
        match = _LINE.match(line.removeprefix("Layers:").strip())
        if match:
            rest = match["rest"]
            parts = {part: _types(_list(rest, part)) for part in ("Inputs", "Constants", "Outputs")}
            nodes = tuple(dict.fromkeys(_NODE.findall(rest)))
            found.append(
                EngineLayer(match["name"], match["kind"], parts["Inputs"], parts["Constants"], parts["Outputs"], nodes)
            )
    return tuple(found)


def _list(text: str, key: str) -> str:
    """What stands between the brackets behind ``key``."""
    start = text.find(f"{key}: [")
    if start < 0:
        return ""
    depth, begin = 0, start + len(key) + 2
    for index in range(begin, len(text)):
        depth += {"[": 1, "]": -1}.get(text[index], 0)
        if depth == 0:
            return text[begin:index]
    return text[begin:]


def _types(text: str) -> tuple[str, ...]:
    return tuple(NAMES.get(found, found.lower()) for found in _DATATYPE.findall(text))


def inspect_engine(module: Any, engine: trt.ICudaEngine) -> str:
    """The engine inspector's description; needs an engine built with detailed verbosity."""
    inspector: trt.EngineInspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(module.LayerInformationFormat.ONELINE))


def node_precision(layers: Iterable[EngineLayer]) -> dict[str, str]:
    """What each node of the ONNX graph is computed in.

    The compiler splits a node: a convolution's products are one layer, its bias and the next quantization are part of
    another, which is generated. The products count.
    """
    in_order = sorted(layers, key=lambda layer: layer.kind not in GENERATED)
    return {node: precision_of(layer) for layer in in_order for node in layer.nodes}


def precision_of(layer: EngineLayer) -> str:
    """The type that a layer multiplies in: integers where both its tensors and its weights are int8.

    int8 weights alone are unpacked before they are multiplied.
    """
    if "int8" in layer.inputs and ("int8" in layer.constants or not layer.constants):
        return "int8"
    floats = [kind for kind in (*layer.inputs, *layer.outputs) if kind not in ("int8", "int32", "int64", "bool")]
    return Counter(floats).most_common(1)[0][0] if floats else "int8"


def summary(nodes: Mapping[str, str], wanted: Iterable[str]) -> str:
    """The precisions of chosen nodes with their counts, as ``int8 (12 of 40), float16 (28 of 40)``."""
    counts = Counter(nodes[name] for name in wanted if name in nodes)
    total = sum(counts.values())
    if len(counts) <= 1:
        return next(iter(counts), "unknown")
    return ", ".join(f"{kind} ({count} of {total} layers)" for kind, count in counts.most_common())


def layers_json(layers: Iterable[EngineLayer]) -> str:
    """The layers as the text of ``layers.json``."""
    return json.dumps({"layers": [asdict(layer) for layer in layers]}, indent=1) + "\n"
