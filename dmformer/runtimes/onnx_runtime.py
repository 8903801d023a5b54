"""ONNX Runtime on the CPU."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.host import threads_per_stream
from dmformer.manifest import Manifest
from dmformer.runtimes.base import (
    Array,
    Call,
    EngineReport,
    EngineRequest,
    Execution,
    Runtime,
    Session,
    SessionOptions,
    Watch,
    check_batch,
    only_cpu,
    short_reason,
    with_integers,
)
from dmformer.runtimes.interface import Tensor, check_interface, check_operators
from dmformer.runtimes.onnx_wire import operators
from dmformer.scratch import scratch_directory
from dmformer.tasks.base import joined

ENGINE_FILE = "model.onnx"
PROVIDER = "CPUExecutionProvider"
AGAIN = "export it again"
CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv")
"""ONNX Runtime's in float."""
FLOATS = {"fp32": "float32", "fp16": "float32 (weights stored as float16)"}
"""The CPU provider has no half-precision convolutions: FP16 weights are widened when the session is made."""
ELEMENTS = {"tensor(float)": "float32"} | {f"tensor({name})": name for name in ("float16", "uint8", "int32")}


class OnnxRuntimeSession(Session):
    """An ONNX file opened by ONNX Runtime on the CPU provider, which is asserted to be the active one."""

    def __init__(self, path: Path, manifest: Manifest, options: SessionOptions) -> None:
        only_cpu(options, "onnxruntime")
        self._session = open_file(path, manifest, session_options(options.threads))
        active = self._session.get_providers()
        if active != [PROVIDER]:
            raise EngineError(f"{path}: runs on {active}, not on {PROVIDER} alone", "install plain onnxruntime")
        self.execution = Execution(PROVIDER, manifest.precision.executes)
        self._path, self._input = path, manifest.input
        self._outputs = [spec.name for spec in manifest.outputs]

    def run(self, batch: NDArray[Any], only: str | None = None) -> dict[str, Array]:
        check_batch(batch, self._input.shape, self._input.dtype)
        names = [only] if only else self._outputs
        try:
            return dict(zip(names, self._session.run(names, {self._input.name: batch}), strict=True))
        except Exception as error:
            raise EngineError(f"{self._path}: ONNX Runtime cannot run it ({short_reason(error)})", AGAIN) from error

    def close(self) -> None:
        self.__dict__.pop("_session", None)


def open_file(path: Path, manifest: Manifest, options: Any) -> Any:
    """An engine's file in ONNX Runtime, if it is what its manifest says and can be run to an end.

    Raises:
        EngineError: It is not, or ONNX Runtime refuses it.
    """
    onnxruntime = telemetry.onnxruntime()
    try:
        check_operators(operators(path.read_bytes()))
        session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])
        check_interface(_tensors(session.get_inputs()), _tensors(session.get_outputs()), manifest)
    except Exception as error:
        raise EngineError(f"{path}: ONNX Runtime cannot load it ({short_reason(error)})", AGAIN) from error
    return session


def session_options(threads: int) -> Any:
    """Options for a single stream: all graph optimizations, no chatter, ``threads`` inside an operator (0: choose)."""
    onnxruntime = telemetry.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads_per_stream(threads)
    options.log_severity_level = 3
    return options


class OnnxRuntime(Runtime):
    """The engine is the simplified ONNX file itself; ONNX Runtime optimizes it for the CPU when it opens it.

    The target ``onnx`` is the same under the name of what it is for: the runtimes that dmformer does not know.
    """

    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        shutil.copyfile(request.onnx, Path(request.directory) / ENGINE_FILE)
        executes = executed_integers(request.onnx) if request.precision == "int8" else FLOATS[request.precision]
        return EngineReport(roles={ENGINE_FILE: "engine"}, version=self.version(), options={}, executes=executes)

    def preload(self) -> None:
        telemetry.onnxruntime()

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        return OnnxRuntimeSession(bundle.file("engine"), bundle.manifest, options)


def open_graph(graph: bytes, full_precision: bool) -> Call:
    """A graph opened for a trial, by `dmformer.runtimes.base.OpenGraph`: every precision here is full already."""
    session = telemetry.onnxruntime().InferenceSession(graph, session_options(0), providers=[PROVIDER])
    name = session.get_inputs()[0].name
    return lambda batch: joined(session.run(None, {name: batch}))


def _tensors(nodes: list[Any]) -> list[Tensor]:
    """Inputs or outputs as ONNX Runtime tells them: an open size is a name or None."""
    return [
        Tensor(
            frozenset([node.name]),
            tuple(size if isinstance(size, int) else None for size in node.shape),
            ELEMENTS.get(node.type, node.type),
        )
        for node in nodes
    ]


def executed_integers(path: str) -> str:
    """What the convolutions of an INT8 file are computed in, by the graph that ONNX Runtime makes of it here."""
    options = session_options(0)
    with scratch_directory() as scratch:
        optimized = scratch / ENGINE_FILE
        options.optimized_model_filepath = str(optimized)
        telemetry.onnxruntime().InferenceSession(path, options, providers=[PROVIDER])
        kinds = Counter(operators(optimized.read_bytes()))
    integers = kinds["QLinearConv"] + kinds["ConvInteger"]
    return with_integers(integers, integers + sum(kinds[kind] for kind in CONVOLUTIONS), "float32", "int8")
