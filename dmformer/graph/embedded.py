"""Preprocessing inside the graph: an application gives the pixels of the model's size as they are.

Four nodes in front of the network, ``preprocessing.*``: from NHWC to NCHW while a pixel is still one byte, to float32,
times ``1 / (255 * std)``, minus ``mean / std``. Resizing stays outside: ONNX has no operator that resizes as Pillow
does, and OpenVINO's Pillow modes do not round as Pillow does (`benchmarks.embedded_preprocessing` says by how much).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from dmformer.graph.passes import check
from dmformer.preprocessing import Preprocessing

PREFIX = "preprocessing"
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
    embedded = ir.from_proto(model)
    graph = embedded.graph
    (image,) = graph.inputs
    dims = list(image.shape or ())
    pixels = ir.val(image.name, ir.DataType.UINT8, ir.Shape([dims[axis] for axis in (0, 2, 3, 1)]))
    constants = {
        name: ir.val(f"{PREFIX}.{name}", const_value=ir.tensor(array)) for name, array in factors(spec).items()
    }
    nodes: list[ir.Node] = []
    for kind, inputs, attributes in (
        ("Transpose", [], {"perm": (0, 3, 1, 2)}),
        ("Cast", [], {"to": ir.DataType.FLOAT}),
        ("Mul", [constants["scale"]], {}),
        ("Add", [constants["shift"]], {}),
    ):
        name, source = f"{PREFIX}.{kind.lower()}", nodes[-1].outputs[0] if nodes else pixels
        nodes.append(ir.node(kind, [source, *inputs], attributes, name=name, outputs=[ir.val(f"{name}:0")]))
    image.replace_all_uses_with(nodes[-1].outputs[0])
    graph.inputs[0] = pixels
    graph.insert_before(graph[0], nodes)
    for constant in constants.values():
        graph.register_initializer(constant)
    embedded.metadata_props[METADATA] = f"uint8 NHWC {spec.channel_order}, not normalized"
    return check(ir.to_proto(embedded))


def factors(spec: Preprocessing) -> dict[str, NDArray[np.float32]]:
    """The ``scale`` of a pixel and the ``shift`` added then, float32 ``[1, C, 1, 1]``, each rounded once."""
    mean, std = (np.asarray(values, np.float64).reshape(1, -1, 1, 1) for values in (spec.mean, spec.std))
    return {"scale": (1 / (255 * std)).astype(np.float32), "shift": (-mean / std).astype(np.float32)}
