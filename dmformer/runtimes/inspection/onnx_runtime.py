"""ONNX Runtime, looked into: its profile file, extra outputs, and matrix products."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.engine_input import from_tensors
from dmformer.errors import EngineError
from dmformer.layouts import channels_first
from dmformer.runtimes.inspection.base import LayerTime, Product, Tap, integer_factors, real_factors
from dmformer.runtimes.onnx_runtime import PROVIDER, open_file, session_options
from dmformer.runtimes.onnx_wire import node_outputs, product_model, with_outputs
from dmformer.scratch import scratch_directory

SUFFIX = "_kernel_time"
FUSED = r"_token_\d+$"
"""What ONNX Runtime puts behind the name of a node when it makes an integer operator of several nodes."""
WARM_RUNS = 2
TYPES = {"float": "float32", "float16": "float16", "int8": "int8", "uint8": "int8", "int32": "int32"}


class OnnxRuntimeInspector:
    """See `dmformer.runtimes.inspection.base.Inspector`."""

    def profile(self, bundle: Bundle, batches: Sequence[NDArray[Any]], threads: int) -> list[LayerTime]:
        with scratch_directory() as scratch:
            options = session_options(threads)
            options.enable_profiling = True
            options.profile_file_prefix = str(scratch / "profile")
            session = open_file(bundle.file("engine"), bundle.manifest, options)
            name = session.get_inputs()[0].name
            for batch in batches:
                session.run(None, {name: batch})
            events = json.loads(Path(session.end_profiling()).read_text())
        return layer_times(events)

    def tap(self, bundle: Bundle, nodes: Sequence[str]) -> Tap:
        # Opened as every session is, for its checks; then again with more outputs.
        open_file(bundle.file("engine"), bundle.manifest, session_options(0))
        model = bundle.file("engine").read_bytes()
        try:
            known = node_outputs(model)
        except ValueError as error:
            raise EngineError(f"{bundle.path}: its ONNX file cannot be read ({error})") from error
        outputs = {spec.name for spec in bundle.manifest.outputs}
        tensors = {node: known[node] for node in nodes if node in known}
        session = _open(with_outputs(model, [t for t in tensors.values() if t not in outputs]), session_options(0))
        name = session.get_inputs()[0].name

        def run(batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
            values = session.run(list(tensors.values()), {name: from_tensors(bundle.manifest, batch)})
            named = zip(tensors.items(), values, strict=True)
            return {node: channels_first(tensor, np.asarray(value, np.float32)) for (node, tensor), value in named}

        return run

    def products(self, side: int, threads: int) -> dict[str, Product]:
        real, (left, right) = real_factors(side), integer_factors(side)
        return {
            "float32": _product(product_model(real[0], real[1], "float32"), real[0], threads),
            "int8": _product(product_model(left, right, "int32"), left, threads),
        }


def _product(model: bytes, left: NDArray[np.generic], threads: int) -> Product:
    session = _open(model, session_options(threads))
    return lambda: np.asarray(session.run(None, {"a": left})[0])


def _open(model: bytes, options: Any) -> Any:
    onnxruntime = telemetry.onnxruntime()
    try:
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDER])
    except Exception as error:
        raise EngineError(f"ONNX Runtime cannot look into this model ({' '.join(str(error).split())[:300]})") from error


def layer_times(events: list[dict[str, Any]]) -> list[LayerTime]:
    """Medians over all runs but the first few, in the order of execution."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event.get("name", "").endswith(SUFFIX):
            runs.setdefault(f"{event['name']} {event['args'].get('node_index', '')}", []).append(event)
    return [_layer(taken) for taken in runs.values()]


def _layer(taken: list[dict[str, Any]]) -> LayerTime:
    event = taken[-1]
    counted = taken[WARM_RUNS:] or taken
    return LayerTime(
        re.sub(FUSED, "", event["name"].removesuffix(SUFFIX)),
        event["args"].get("op_name", "unknown"),
        precision_of(event["args"]),
        statistics.median(run["dur"] for run in counted) / 1e3,
    )


def precision_of(arguments: dict[str, Any]) -> str:
    """What a node computes in: integers where its operator is an integer one, else the type of its first input."""
    kind = arguments.get("op_name", "")
    if kind.startswith("QLinear") or kind in ("MatMulInteger", "ConvInteger", "QGemm", "QAttention"):
        return "int8"
    for given in arguments.get("input_type_shape", []):
        return next((TYPES.get(name, name) for name in given), "unknown")
    return "unknown"
