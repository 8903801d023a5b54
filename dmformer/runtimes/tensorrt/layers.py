"""What a finished engine computes in, layer by layer, as the library itself describes it.

Two sources. The builder of TensorRT for RTX logs a description when it has finished, without a GPU: `read_layers`.
The engine inspector of both libraries tells about an opened engine, which needs one: `inspect_engine`. Its JSON is
that of docs.nvidia.com/deeplearning/tensorrt, "Engine Inspector" (10.x) and "Migrating IEngineInspector Usage from
TensorRT 10.x to 11.x" (11.x has the type in a field of its own).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from dmformer.errors import BundleError
from dmformer.reading import read_bounded
from dmformer.texts import first_problem

if TYPE_CHECKING:
    import tensorrt as trt

LAYERS_FILE = "layers.json"
MAX_LAYERS_BYTES = 1 << 26
_LINE = re.compile(r"^Name: (?P<name>.+?), LayerType: (?P<kind>\w+)(?P<rest>.*)$")
_DATATYPE = re.compile(r"Datatype: ([A-Za-z0-9]+)")
_TYPE_WORD = re.compile(r"\b(Float|FP32|Half|FP16|Int8|INT8|BFloat16|BF16|Int32|Int64|Bool|UInt8)\b")
_TYPE_KEYS = ("DataType", "Datatype", "Type", "Format/Datatype", "Format/DataType")
"""Where a tensor's type is: in a field of its own, or among the words of its format (TensorRT 10)."""
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
GENERATED = frozenset({"kgen", "Reformat", "NoOp", "PointWise", "PointWiseV2", "Shuffle"})
"""Kinds of layers without products of their own."""
NAMES = {
    "Float": "float32",
    "FP32": "float32",
    "Half": "float16",
    "FP16": "float16",
    "BFloat16": "bfloat16",
    "BF16": "bfloat16",
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
    layers = []
    for line in text.splitlines():
        match = _LINE.match(line.removeprefix("Layers:").strip())
        if match:
            rest = match["rest"]
            parts = {part: _types(_list(rest, part)) for part in ("Inputs", "Constants", "Outputs")}
            nodes = tuple(dict.fromkeys(_NODE.findall(rest)))
            layers.append(
                EngineLayer(match["name"], match["kind"], parts["Inputs"], parts["Constants"], parts["Outputs"], nodes)
            )
    return tuple(layers)


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
    return tuple(NAMES.get(name, name.lower()) for name in _DATATYPE.findall(text))


def inspect_engine(module: Any, engine: trt.ICudaEngine) -> tuple[EngineLayer, ...]:
    """The layers of an opened engine by the engine inspector; none where it was built without detailed verbosity."""
    inspector: trt.EngineInspector = engine.create_engine_inspector()
    return read_inspection(str(inspector.get_engine_information(module.LayerInformationFormat.JSON)))


def read_inspection(text: str) -> tuple[EngineLayer, ...]:
    """The layers in the inspector's JSON; what is none, or is only a name, is passed over."""
    try:
        document = json.loads(text)
    except ValueError:
        return ()
    entries = document.get("Layers", ()) if isinstance(document, dict) else ()
    return tuple(_inspected(entry) for entry in entries if isinstance(entry, dict))


def _inspected(entry: Mapping[str, Any]) -> EngineLayer:
    constants = [*entry.get("Constants", ()), *(entry[key] for key in ("Weights",) if key in entry)]
    return EngineLayer(
        name=str(entry.get("Name", "")),
        kind=str(entry.get("LayerType", "")),
        inputs=_tensor_types(entry.get("Inputs", ())),
        constants=_tensor_types(constants),
        outputs=_tensor_types(entry.get("Outputs", ())),
        nodes=tuple(dict.fromkeys(_NODE.findall(str(entry.get("Metadata", ""))))),
    )


def _tensor_types(tensors: Iterable[Any]) -> tuple[str, ...]:
    types = []
    for tensor in tensors:
        said = next((str(tensor[key]) for key in _TYPE_KEYS if key in tensor), "") if isinstance(tensor, dict) else ""
        match = _TYPE_WORD.search(said)
        if match:
            types.append(NAMES.get(match[1], match[1].lower()))
    return tuple(types)


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


def summary(precisions: Mapping[str, str]) -> str:
    """The precisions of nodes with their counts, as ``int8 (12 of 40 layers), float16 (28 of 40 layers)``."""
    counts = Counter(precisions.values())
    if len(counts) <= 1:
        return next(iter(counts), "unknown")
    return ", ".join(f"{kind} ({count} of {len(precisions)} layers)" for kind, count in counts.most_common())


@dataclass(frozen=True)
class Description:
    """What a bundle says about its engine.

    Attributes:
        layers: As the library describes them.
        compute_nodes: Nodes of the ONNX graph that multiply: convolutions and matrix products.
    """

    layers: tuple[EngineLayer, ...]
    compute_nodes: tuple[str, ...] = ()

    def precisions(self) -> dict[str, str]:
        """What each node that multiplies is computed in."""
        precisions = node_precision(self.layers)
        return {node: precisions[node] for node in self.compute_nodes if node in precisions}

    def to_json(self) -> str:
        """The text of ``layers.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read_description(path: Path) -> Description:
    """Reads a bundle's ``layers.json``.

    Raises:
        BundleError: It is damaged.
    """
    hint = "build the engine again: dmformer build"
    try:
        return TypeAdapter(Description).validate_json(read_bounded(path, MAX_LAYERS_BYTES))
    except ValidationError as error:
        raise BundleError(f"{path}: {first_problem(error)}", hint) from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})", hint) from error
