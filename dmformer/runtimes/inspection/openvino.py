"""OpenVINO, looked into: its performance counters, extra outputs, and matrix products."""

from __future__ import annotations

import statistics
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer import host, telemetry
from dmformer.bundle import Bundle
from dmformer.engine_input import from_tensors
from dmformer.errors import EngineError
from dmformer.runtimes.base import short_reason
from dmformer.runtimes.inspection.base import LayerTime, Product, Tap, output_nodes, real_factors
from dmformer.runtimes.interface import InterfaceError
from dmformer.runtimes.openvino import AGAIN, PRECISION_HINT, latency_config, primitive_type, read_engine

WARM_RUNS = 2
BIAS_SUFFIX = "/WithoutBiases"
QUANTIZER = ":0/dequantize"


class OpenVinoInspector:
    """See `dmformer.runtimes.inspection.base.Inspector`."""

    def profile(self, bundle: Bundle, batches: Sequence[NDArray[Any]], threads: int) -> list[LayerTime]:
        config = {"PERF_COUNT": "YES", **bundle.manifest.runtime.options, **latency_config(threads)}
        request = _compile(_read(bundle), config).create_infer_request()
        runs: dict[str, list[Any]] = {}
        for batch in batches:
            request.infer([batch], share_inputs=True)
            for entry in request.profiling_info:
                if entry.status.name == "EXECUTED":
                    runs.setdefault(entry.node_name, []).append(entry)
        return [_layer(entries[WARM_RUNS:] or entries) for entries in runs.values()]

    def tap(self, bundle: Bundle, nodes: Sequence[str]) -> Tap:
        model = _read(bundle)
        known = {operation.get_friendly_name(): operation for operation in model.get_ordered_ops()}
        own, ends = [spec.name for spec in bundle.manifest.outputs], output_nodes(bundle.manifest.source.config)
        names = {node: name for node in nodes if (name := _name_of(node, known, ends.get(node)))}
        added = [node for node, name in names.items() if name not in own]
        model.add_outputs([known[names[node]].output(0) for node in added])
        # The engine's own outputs, which are there already, come first.
        places = {node: own.index(name) for node, name in names.items() if name in own}
        places |= {node: len(own) + index for index, node in enumerate(added)}
        request = _compile(model, {**bundle.manifest.runtime.options, **latency_config(0)}).create_infer_request()

        def run(batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
            inputs = from_tensors(bundle.manifest, batch)
            values = request.infer([inputs], share_inputs=True, share_outputs=False).to_tuple()
            return {node: np.asarray(values[place], np.float32) for node, place in places.items()}

        return run

    def products(self, side: int, threads: int) -> dict[str, Product]:
        real = real_factors(side)
        calls = {"float32": _product(real, "f32", threads, quantized=False)}
        if host.has_bfloat16():
            calls["bfloat16"] = _product(real, "bf16", threads, quantized=False)
        calls["int8"] = _product(real, "f32", threads, quantized=True)
        return calls


def _product(real: NDArray[np.float32], hint: str, threads: int, quantized: bool) -> Product:
    openvino = telemetry.openvino()
    from openvino import opset13 as operations

    left = operations.parameter(list(real[0].shape), np.float32)
    right = operations.constant(real[1])
    if quantized:
        bound, low = np.float32(4), np.float32(-4)
        factors = [
            operations.fake_quantize(left, low, bound, low, bound, levels=256),
            operations.fake_quantize(right, low, bound, low, bound, levels=255),
        ]
    else:
        factors = [left, right]
    model = openvino.Model([operations.matmul(factors[0], factors[1], False, False)], [left], "product")
    request = _compile(model, {PRECISION_HINT: hint, **latency_config(threads)}).create_infer_request()
    return lambda: np.asarray(request.infer([real[0]], share_inputs=True, share_outputs=True)[0])


def _read(bundle: Bundle) -> Any:
    """The model of a bundle's engine, read with the checks of a session."""
    path = bundle.file("engine")
    try:
        return read_engine(path, bundle.manifest)[1]
    except (InterfaceError, RuntimeError) as error:
        raise EngineError(f"{path}: OpenVINO cannot load it ({short_reason(error)})", AGAIN) from error


def _compile(model: Any, config: dict[str, str]) -> Any:
    openvino = telemetry.openvino()
    try:
        return openvino.Core().compile_model(model, "CPU", config)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise EngineError(f"OpenVINO cannot look into this model ({text})") from error


def _name_of(node: str, known: Container[str], output: str | None) -> str | None:
    """OpenVINO's name for a node: one behind an output is called as that, and some remain as their quantizers alone."""
    candidates = (node, f"{node}{QUANTIZER}", *([output] if output else []))
    return next((name for name in candidates if name in known), None)


def _layer(entries: list[Any]) -> LayerTime:
    entry = entries[-1]
    return LayerTime(
        entry.node_name.removesuffix(BIAS_SUFFIX),
        entry.node_type,
        primitive_type(entry.exec_type),
        statistics.median(run.real_time.total_seconds() for run in entries) * 1e3,
    )
