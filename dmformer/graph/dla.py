"""Which layers the deep learning accelerator of an Orin can take, told before anyone waits for a build.

Rules: docs.nvidia.com/deeplearning/tensorrt, "DLA Supported Layers and Restrictions" of 11.4.1: fixed dimensions, none
but the batch beyond 8192; activations are ReLU, Sigmoid, TanH and Clip; a convolution's padding is smaller than its
kernel; a resize is by whole factors, up to 32 by nearest and up to 4 bilinear. The builder has the last word; what it
refuses runs on the GPU, with a transfer on each side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.graph.qdq.graph import attribute

if TYPE_CHECKING:
    import onnx

MAX_KERNEL, MAX_PADDING, MAX_STRIDE, MAX_DILATION = 32, 31, 8, 32
MAX_CHANNELS = 8192
MAX_RESIZE = {"nearest": 32, "linear": 4}
ELIGIBLE = frozenset({"Relu", "Sigmoid", "Tanh", "Clip", "Add", "Mul", "Concat", "Identity", "Cast"})
NO_WORK = frozenset({"QuantizeLinear", "DequantizeLinear", "Constant"})


@dataclass(frozen=True)
class Refusal:
    """A layer that the DLA cannot take, and why."""

    node: str
    operator: str
    reason: str


def refusals(model: onnx.ModelProto) -> tuple[Refusal, ...]:
    """The layers of a graph that would run on the GPU, in order.

    Args:
        model: A typed graph with a fixed batch.
    """
    constants = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    made_of, scales = _weights_behind(model, constants), _vectors(model)
    fallen = []
    for node in model.graph.node:
        if node.op_type in NO_WORK:
            continue
        reason = _reason(node, made_of, scales)
        if reason:
            fallen.append(Refusal(node.name, node.op_type, reason))
    return tuple(fallen)


def dla_report(model: onnx.ModelProto) -> list[str]:
    """What would run where, in a few lines."""
    fallen = refusals(model)
    total = sum(node.op_type not in NO_WORK for node in model.graph.node)
    lines = [f"DLA: {total - len(fallen)} of {total} layers are eligible, {len(fallen)} fall back to the GPU"]
    if _is_open(model):
        lines.append("DLA: takes nothing open: its smallest, tuned and largest batch, height and width must be equal")
    counts = Counter(refusal.reason for refusal in fallen)
    first = {refusal.reason: refusal.node for refusal in reversed(fallen)}
    lines += [f"DLA: {count} x {reason}, as {first[reason]}" for reason, count in counts.most_common()]
    return lines


def _reason(
    node: onnx.NodeProto, weights: dict[str, tuple[int, ...]], scales: dict[str, tuple[float, ...]]
) -> str | None:
    if node.op_type == "Conv":
        return _conv_reason(node, weights.get(node.input[1], ()))
    if node.op_type == "Resize":
        return _resize_reason(node, scales.get(node.input[2], ()) if len(node.input) > 2 else ())
    if node.op_type in ELIGIBLE:
        return None
    return {
        "Gelu": "Gelu is no activation of the DLA",
        "GlobalAveragePool": "a mean over the image is a reduction, of which the DLA knows only the maximum",
        "Gemm": "a matrix product is none of the DLA's layers",
    }.get(node.op_type, f"{node.op_type} is none of the DLA's layers")


def _conv_reason(node: onnx.NodeProto, weight: tuple[int, ...]) -> str | None:
    kernel = tuple(attribute(node, "kernel_shape", weight[2:] or (1, 1)))
    padding = tuple(attribute(node, "pads", (0, 0, 0, 0)))
    dilation, stride = attribute(node, "dilations", (1, 1)), attribute(node, "strides", (1, 1))
    shape = f"{kernel[0]}x{kernel[1]} convolution"
    sides = zip(kernel, padding[: len(kernel)], strict=True)
    if any(pad >= size for size, pad in sides) or max(padding) > MAX_PADDING:
        return f"{shape} of dilation {dilation[0]} with padding {max(padding)}: it must be smaller than the kernel"
    if max(kernel) > MAX_KERNEL or max(stride) > MAX_STRIDE or max(dilation) > MAX_DILATION:
        return f"{shape} with stride {max(stride)} and dilation {max(dilation)} is too large"
    if weight and max(weight[:2]) > MAX_CHANNELS:
        return f"{shape} with more than {MAX_CHANNELS} channels"
    return None


def _resize_reason(node: onnx.NodeProto, scales: tuple[float, ...]) -> str | None:
    mode = attribute(node, "mode", b"nearest").decode()
    most = MAX_RESIZE.get(mode, 0)
    if len(scales) == 4 and scales[:2] == (1, 1) and all(one % 1 == 0 and 1 <= one <= most for one in scales[2:]):
        return None
    factors = "x".join(f"{one:g}" for one in scales[2:]) or "a size that is computed"
    return f"{mode} resize by {factors}: it must be by whole factors up to {most}"


def _vectors(model: onnx.ModelProto) -> dict[str, tuple[float, ...]]:
    """The small float constants: factors of a resize among them."""
    from onnx import TensorProto, numpy_helper

    small = (
        entry for entry in model.graph.initializer if entry.data_type == TensorProto.FLOAT and len(entry.dims) == 1
    )
    return {entry.name: tuple(numpy_helper.to_array(entry).tolist()) for entry in small if entry.dims[0] == 4}


def _weights_behind(model: onnx.ModelProto, constants: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of constants, also under the names that DequantizeLinear gives them."""
    behind = dict(constants)
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            behind[node.output[0]] = constants[node.input[0]]
    return behind


def _is_open(model: onnx.ModelProto) -> bool:
    return not all(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
