"""A description of an ONNX file, for people."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dmformer.errors import InputError, MissingBackendError
from dmformer.reading import read_bounded

MAX_ONNX_BYTES = 2 << 30
"""The largest protobuf that there can be."""


def describe_onnx(path: Path) -> dict[str, Any]:
    """Opset, inputs, outputs, operators and metadata of an ONNX file.

    Raises:
        InputError: The file is missing, too large or no ONNX model.
        MissingBackendError: The package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingBackendError("onnx is not installed", "pip install 'dmformer[export]'") from error
    hint = "give a file that `dmformer export` made"
    try:
        model = onnx.load_model_from_string(read_bounded(path, MAX_ONNX_BYTES))
        onnx.checker.check_model(model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is no ONNX model ({reason})", hint) from error
    return {
        "path": str(path),
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": [_described(value) for value in model.graph.input],
        "outputs": [_described(value) for value in model.graph.output],
        "nodes": len(model.graph.node),
        "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
        "metadata": sorted(entry.key for entry in model.metadata_props),
    }


def _described(value: Any) -> str:
    dims = (str(dim.dim_value or dim.dim_param or "?") for dim in value.type.tensor_type.shape.dim)
    return f"{value.name} [{' x '.join(dims)}]"
