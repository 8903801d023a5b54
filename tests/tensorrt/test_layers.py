"""Reading back what an engine computes in."""

from __future__ import annotations

from dmformer.runtimes.tensorrt.layers import node_precision, read_layers, summary

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
    "Name: stem.conv2, LayerType: CaskConvolution,"
    " Inputs: [ { Name: c, Dimensions: [1,16,16,16], Format/Datatype: Half }],"
    " Outputs: [ { Name: d, Dimensions: [1], Format/Datatype: Half }], Metadata: [ONNX Layer: stem.conv2]",
    "",
    "I/O Tensors:",
    " Name: image, IOMode: Input, DataType: Float",
)
SAID = "\n".join(LINES)
"""As TensorRT for RTX 1.7.1 says it, shortened; the last layer in the form of TensorRT 10."""


def test_layers_are_read() -> None:
    first, second, third = read_layers(SAID)
    assert first.name == "stem.conv1_myl0_1" and first.kind == "correlation"
    assert first.inputs == ("int8",) and first.constants == ("int8", "float32") and first.outputs == ("float32",)
    assert first.nodes == ("stem.conv1", "stem.conv1.weight/dequantize")
    assert second.constants == () and second.outputs == ("float16",)
    assert third.inputs == ("float16",), "the form of TensorRT 10"


def test_the_products_of_a_split_node_count() -> None:
    found = node_precision(reversed(read_layers(SAID)))
    assert found["stem.conv1"] == "int8" and found["stem.conv2"] == "float16"
    assert found["stem.relu"] in ("float32", "float16")


def test_a_summary_counts_only_what_was_asked_for() -> None:
    found = node_precision(read_layers(SAID))
    assert summary(found, ["stem.conv1", "stem.conv2"]) == "int8 (1 of 2 layers), float16 (1 of 2 layers)"
    assert summary(found, ["stem.conv1"]) == "int8"
    assert summary(found, []) == "unknown"


def test_other_texts_give_no_layers() -> None:
    assert read_layers("Layer(Reformat): a\nnothing") == ()
