"""Q/DQ as OpenVINO's CPU plugin fuses it.

OpenVINO reads each pair as a FakeQuantize and propagates integers from it to the next layer (low precision
transformations). A convolution takes activation, additions and the next quantizer in as post-operations,
computed in float on the accumulators: so only the *inputs* of integer layers are quantized, and neither
additions nor the residual stream lose a bit to integers. Biases stay float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.inputs import layer_inputs, quantize_inputs
from dmformer.graph.qdq.scheme import U8S7, U8S8, Scheme


def emit_openvino(
    model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str], scheme: Scheme
) -> onnx.ModelProto:
    """Writes Q/DQ for OpenVINO on a CPU: uint8 activations, int8 weights per output channel.

    Its kernels for CPUs without VNNI saturate like those of ONNX Runtime: there weights have seven bits too (measured
    with AVX2 alone: 36 dB instead of 25).

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name; ``image`` for the input.
        int8_groups: Groups computed in integers; all else stays in OpenVINO's float precision. Groups without
            weights (sums, residuals, the GELU) are not affected.
        scheme: Integer types that suit the CPU; activations are uint8 on all of them.

    Returns:
        A graph with the same interface.

    Raises:
        ExportError: A site that is needed has no range.
    """
    suited = U8S7 if scheme.weight_reach == U8S7.weight_reach else U8S8
    return quantize_inputs(model, ranges, int8_groups, suited, layer_inputs)
