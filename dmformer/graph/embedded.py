"""Preprocessing inside the graph: an application gives the pixels of the model's size as they are.

Four nodes in front of the network, ``preprocessing.*``: from NHWC to NCHW while a pixel is still one byte, to float32,
times ``1 / (255 * std)``, minus ``mean / std``. Resizing stays outside: ONNX has no operator that resizes as Pillow
does, and OpenVINO's Pillow modes do not round as Pillow does (`benchmarks.embedded_preprocessing` says by how much).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dmformer.graph.passes import check
from dmformer.preprocessing import Preprocessing

PREFIX = "preprocessing"
TO_NCHW = (0, 3, 1, 2)
METADATA = "dmformer.input"


def embed_preprocessing(model: onnx.ModelProto, spec: Preprocessing) -> onnx.ModelProto:
    """Moves the normalization into a finished graph of any precision.

    Args:
        model: Takes ``image``, preprocessed float32 ``[N, C, H, W]``; it is not changed.
        spec: What it was preprocessed by.

    Returns:
        A graph whose ``image`` is uint8 ``[N, H, W, C]``, channels in the order of ``spec.channel_order``. Its float32
        input differs from `dmformer.preprocessing.preprocess` by the rounding of two operations.

    Raises:
        ExportError: The result is no valid graph.
    """
    embedded = onnx.ModelProto()
    embedded.CopyFrom(model)
    graph = embedded.graph
    name, inner = graph.input[0].name, f"{PREFIX}.add:0"
    for node in graph.node:
        node.input[:] = [inner if value == name else value for value in node.input]
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*_normalization(name, inner), *nodes])
    scale, shift = factors(spec)
    graph.initializer.extend(
        [numpy_helper.from_array(scale, f"{PREFIX}.scale"), numpy_helper.from_array(shift, f"{PREFIX}.shift")]
    )
    _take_pixels(graph.input[0])
    helper.set_model_props(embedded, {**_metadata(model), METADATA: f"uint8 NHWC {spec.channel_order}, not normalized"})
    return check(embedded)


def factors(spec: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a pixel is multiplied by and what is added then, float32 ``[1, C, 1, 1]``, each rounded once."""
    mean, std = (np.asarray(values, np.float64).reshape(1, -1, 1, 1) for values in (spec.mean, spec.std))
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _normalization(name: str, inner: str) -> list[onnx.NodeProto]:
    steps: tuple[tuple[str, list[str], dict[str, Any]], ...] = (
        ("Transpose", [], {"perm": TO_NCHW}),
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Mul", [f"{PREFIX}.scale"], {}),
        ("Add", [f"{PREFIX}.shift"], {}),
    )
    nodes, value = [], name
    for kind, constants, attributes in steps:
        node = f"{PREFIX}.{kind.lower()}"
        nodes.append(helper.make_node(kind, [value, *constants], [f"{node}:0"], name=node, **attributes))
        value = f"{node}:0"
    assert value == inner  # noqa: S101 - the network reads it under this name
    return nodes


def _take_pixels(value: onnx.ValueInfoProto) -> None:
    """Turns a float32 NCHW input into a uint8 NHWC one; an open batch stays open."""
    kind = value.type.tensor_type
    kind.elem_type = TensorProto.UINT8
    batch, channels, height, width = list(kind.shape.dim)
    dims = []
    for dim in (batch, height, width, channels):
        copy = onnx.TensorShapeProto.Dimension()
        copy.CopyFrom(dim)
        dims.append(copy)
    del kind.shape.dim[:]
    kind.shape.dim.extend(dims)


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}
