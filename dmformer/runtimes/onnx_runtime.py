"""ONNX Runtime on the CPU."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.manifest import TensorSpec
from dmformer.runtimes.base import (
    Array,
    EngineReport,
    EngineRequest,
    Execution,
    NativeRuntime,
    Session,
    SessionOptions,
    check_batch,
    only_cpu,
    short_reason,
)

ENGINE_FILE = "model.onnx"
PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeSession(Session):
    """An ONNX file opened by ONNX Runtime on the CPU provider, which is asserted to be the active one."""

    def __init__(self, path: Path, given: TensorSpec, precision: str, options: SessionOptions) -> None:
        onnxruntime = telemetry.onnxruntime()
        only_cpu(options, "onnxruntime")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(options.threads), providers=[PROVIDER]
            )
        except Exception as error:
            raise EngineError(
                f"{path}: ONNX Runtime cannot load it ({short_reason(error)})", "export it again"
            ) from error
        active = self._session.get_providers()
        if active != [PROVIDER]:
            raise EngineError(f"{path}: runs on {active}, not on {PROVIDER} alone", "install plain onnxruntime")
        self.execution = Execution(PROVIDER, precision)
        self._shape, self._dtype = given.shape, given.dtype
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, batch: NDArray[Any]) -> dict[str, Array]:
        check_batch(batch, self._shape, self._dtype)
        return dict(zip(self._outputs, self._session.run(None, {self._input: batch}), strict=True))

    def close(self) -> None:
        self.__dict__.pop("_session", None)


def session_options(threads: int) -> Any:
    """Options for a single stream: all graph optimizations, ``threads`` inside an operator, no chatter."""
    onnxruntime = telemetry.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return options


class OnnxRuntime(NativeRuntime):
    """The engine is the simplified ONNX file itself; ONNX Runtime optimizes it for the CPU when it opens it."""

    name = "onnxruntime"

    def missing(self) -> str | None:
        if find_spec("onnxruntime") is None:
            return "ONNX Runtime is not installed: pip install 'dmformer[onnxruntime]'"
        return None

    def build_engine(self, request: EngineRequest) -> EngineReport:
        shutil.copyfile(request.onnx, Path(request.directory) / ENGINE_FILE)
        return EngineReport(
            roles={ENGINE_FILE: "engine"}, version=_version(), options={}, executes=_executes(request.precision)
        )

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        manifest = bundle.manifest
        return OnnxRuntimeSession(bundle.file("engine"), manifest.input, manifest.precision.executes, options)


def _executes(precision: str) -> str:
    # The CPU provider has no half-precision convolutions: FP16 weights are widened when the session is made.
    return {"fp32": "float32", "fp16": "float32 (weights stored as float16)", "int8": "int8"}[precision]


def _version() -> str:
    for package in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "unknown"
