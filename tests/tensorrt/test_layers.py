"""Reading back what an engine computes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmformer.errors import BundleError
from dmformer.runtimes.tensorrt.layers import (
    Description,
    node_precision,
    read_description,
    read_inspection,
    read_layers,
    summary,
)

LINES = (
    "Layers:",
    "Name: stem.conv1_myl0_1, LayerType: correlation,"
    " Inputs: [ { Name: a, Dimensions: [1,3,32,32], Datatype: Int8, Format: (NHWC) x }],"
    " Constants: [ { Name: w, Dimensions: [16,3,7,7], Datatype: Int8, Format: y },"
    " { Name: s, Dimensions: [1], Datatype: Float, Format: y }],"
    " Outputs: [ { Name: b, Dimensions: [1,16,16,16], Datatype: Float, Format: z }], TacticName: T, StreamId: 0,"
    " Metadata: [ONNX Layer: stem.conv1][ONNX Layer: stem.conv1.weight/dequantize]",
    "Name: __myl_Add_myl0_2, LayerType: kgen, Inputs: [ { Name: b, Dimensions: [1], Datatype: Float, Format: z }],"
    " Constants: [], Outputs: [ { Name: c, Dimensions: [1], Datatype: Half, Format: z }], TacticName: T, StreamId: 0,"
    " Metadata: [ONNX Layer: stem.conv1][ONNX Layer: stem.relu]",
    "Name: stem.conv2, LayerType: correlation,"
    " Inputs: [ { Name: c, Dimensions: [1,16,16,16], Datatype: Half, Format: z }],"
    " Outputs: [ { Name: d, Dimensions: [1], Datatype: Half, Format: z }], Metadata: [ONNX Layer: stem.conv2]",
    "",
    "I/O Tensors:",
    " Name: image, IOMode: Input, DataType: Float",
)
SAID = "\n".join(LINES)
"""As TensorRT for RTX 1.7.1 says it, shortened."""


def test_layers_are_read() -> None:
    first, second, third = read_layers(SAID)
    assert first.name == "stem.conv1_myl0_1" and first.kind == "correlation"
    assert first.inputs == ("int8",) and first.constants == ("int8", "float32") and first.outputs == ("float32",)
    assert first.nodes == ("stem.conv1", "stem.conv1.weight/dequantize")
    assert second.constants == () and second.outputs == ("float16",)
    assert third.inputs == ("float16",)


def test_the_products_of_a_split_node_count() -> None:
    found = node_precision(reversed(read_layers(SAID)))
    assert found["stem.conv1"] == "int8" and found["stem.conv2"] == "float16"
    assert found["stem.relu"] in ("float32", "float16")


def test_a_summary_counts_only_what_was_asked_for() -> None:
    two = Description(read_layers(SAID), ("stem.conv1", "stem.conv2", "head"))
    assert two.precisions() == {"stem.conv1": "int8", "stem.conv2": "float16"}
    assert summary(two.precisions()) == "int8 (1 of 2 layers), float16 (1 of 2 layers)"
    assert summary({"stem.conv1": "int8"}) == "int8" and summary({}) == "unknown"


def test_other_texts_give_no_layers() -> None:
    assert read_layers("Layer(Reformat): a\nnothing") == ()


def tensor(kind: str, version: int) -> dict[str, Any]:
    """A tensor as the engine inspector of a major version writes it (NVIDIA's migration guide to 11.x)."""
    if version == 10:
        return {"Name": "t", "Dimensions": [1, 16, 8, 8], "Format/Datatype": f"Channel major {kind} format"}
    return {"Name": "t", "Dimensions": [1, 16, 8, 8], "Format": "Row major linear (kLINEAR)", "DataType": kind}


@pytest.mark.parametrize(("version", "half"), [(10, "FP16"), (11, "Half")])
def test_the_inspector_s_json_of_both_versions_is_read(version: int, half: str) -> None:
    convolution = {
        "Name": "stem.conv1 + stem.relu",
        "LayerType": "CaskConvolution",
        "Inputs": [tensor("Int8", version)],
        "Outputs": [tensor(half, version)],
        "Weights": {"Type": "Int8", "Count": 432},
        "Bias": {"Type": "Float", "Count": 16},
        "Metadata": "[ONNX Layer: stem.conv1]\u001f[ONNX Layer: stem.relu]",
    }
    text = json.dumps({"Layers": [convolution, "only a name"], "Bindings": ["image"]})
    (layer,) = read_inspection(text)
    assert (layer.inputs, layer.constants, layer.outputs) == (("int8",), ("int8",), ("float16",))
    assert Description((layer,), ("stem.conv1",)).precisions() == {"stem.conv1": "int8"}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"Layers": ["a", "b"]}'])
def test_an_inspection_that_tells_nothing_gives_no_layers(text: str) -> None:
    assert read_inspection(text) == ()


def test_descriptions_are_read_back(tmp_path: Path) -> None:
    described = Description(read_layers(SAID), ("stem.conv1",))
    path = tmp_path / "layers.json"
    path.write_text(described.to_json())
    assert read_description(path) == described


@pytest.mark.parametrize("text", ["", "{}", '{"layers": [{"name": 3}]}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(BundleError, match=r"layers\.json"):
        read_description(tmp_path / "layers.json")
