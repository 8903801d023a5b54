"""The checked ONNX graph of a network: the step between PyTorch and every runtime."""

from __future__ import annotations

import json

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.errors import ExportError
from dmformer.graph import passes
from dmformer.graph.from_torch import INPUT, GraphOptions, onnx_from_torch
from dmformer.host import threads_per_stream
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress, Silent
from dmformer.tasks.base import joined
from dmformer.version import __version__

RELATIVE_ERROR = 1e-4
"""Largest allowed difference of a logit from PyTorch's, in units of the largest absolute logit (or of 1)."""


def make_onnx(
    model: DMFormer,
    options: GraphOptions,
    preprocessing: Preprocessing,
    labels: tuple[str, ...] | None,
    progress: Progress | None = None,
) -> onnx.ModelProto:
    """Exports, cleans, simplifies and checks the graph of a network.

    Args:
        model: Reference or canonical network.
        options: Shape of the graph.
        preprocessing: Goes into the file's metadata as JSON, under ``dmformer.preprocessing``.
        labels: Likewise, under ``dmformer.labels``; None leaves it out.
        progress: Told what onnxsim changed.

    Raises:
        ExportError: A step failed.
    """
    graph = onnx_from_torch(model, options)
    passes.pool_globally(graph)
    passes.name_nodes_by_module(graph)
    if options.simplify:
        graph = passes.simplify(graph, progress or Silent())
    passes.strip(graph)
    passes.name_values_by_node(graph)
    metadata = {
        "dmformer.preprocessing": preprocessing.model_dump_json(),
        "dmformer.config": model.config.model_dump_json(),
    }
    if labels is not None:
        metadata["dmformer.labels"] = json.dumps(list(labels))
    proto = passes.to_proto(graph)
    passes.name_open_sides(proto)
    return passes.stamp(passes.check(proto), __version__, metadata)


def assert_computes(graph: onnx.ModelProto, model: DMFormer, batch: NDArray[np.float32]) -> float:
    """Compares a graph in ONNX Runtime with the module it came from.

    Args:
        graph: The exported graph.
        model: The module.
        batch: Preprocessed images, float32 ``[N, C, H, W]``.

    Returns:
        The largest difference of a logit in units of the largest absolute logit (or of 1).

    Raises:
        ExportError: The difference is above 1e-4, or not a number.
    """
    size = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value or len(batch)
    # A fixed batch takes whole batches only: the images are repeated to fill one.
    batch = np.resize(batch, (max(size, len(batch) // size * size), *batch.shape[1:]))
    logits = _run_onnx(graph, batch, size)
    with torch.inference_mode():
        expected = model.answer(torch.from_numpy(batch)).numpy()
    error = float(np.abs(logits - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not error <= RELATIVE_ERROR:
        raise ExportError(
            "the ONNX graph does not compute what PyTorch computes: "
            f"relative error {error:.1e}, allowed {RELATIVE_ERROR}",
            "try --no-simplify or another --opset, and report it",
        )
    return error


def _run_onnx(graph: onnx.ModelProto, batch: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    onnxruntime = telemetry.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_per_stream(0)
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"ONNX Runtime cannot load the exported graph: {reason}", "try another --opset") from error
    starts = range(0, len(batch), size)
    return np.concatenate([joined(session.run(None, {INPUT: batch[start : start + size]})) for start in starts])
