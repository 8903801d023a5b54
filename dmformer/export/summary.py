"""A description of an ONNX file, for people."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dmformer.errors import InputError, MissingBackendError

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
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file, so it is no ONNX model")  # a device could be read without end
    if path.is_file() and path.stat().st_size > MAX_ONNX_BYTES:
        raise InputError(f"{path}: is larger than 2 GiB, so it is no ONNX model")
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is no ONNX model ({reason})", "give a file that `dmformer export` made") from error
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
