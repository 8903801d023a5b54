"""OpenVINO on the CPU: IR files (xml and bin)."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.errors import EngineError
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

ENGINE_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
PRECISION_HINT = "INFERENCE_PRECISION_HINT"
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OpenVinoSession(Session):
    """A compiled OpenVINO model with one inference request for each stream."""

    def __init__(self, path: Path, bundle: Bundle, options: SessionOptions) -> None:
        openvino = telemetry.openvino()
        only_cpu(options, "openvino")
        config = {"PERFORMANCE_HINT": "LATENCY", **bundle.manifest.runtime.options}
        if options.threads:
            config["INFERENCE_NUM_THREADS"] = str(options.threads * options.streams)
        if options.streams > 1:
            config["NUM_STREAMS"] = str(options.streams)
        try:
            self._compiled = openvino.Core().compile_model(str(path), "CPU", config)
        except RuntimeError as error:
            raise EngineError(f"{path}: OpenVINO cannot load it ({short_reason(error)})", "export it again") from error
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(options.streams):
            self._idle.put(self._compiled.create_infer_request())
        self._shape, self._dtype = bundle.manifest.input.shape, bundle.manifest.input.dtype
        self._outputs = [bundle.manifest.output.name]
        self.execution = Execution("CPU", executed_precision(self._compiled, bundle.manifest.precision.requested))

    def run(self, batch: NDArray[Any]) -> dict[str, Array]:
        check_batch(batch, self._shape, self._dtype)
        request = self._idle.get()
        try:
            results = request.infer([batch], share_inputs=True, share_outputs=False)
        finally:
            self._idle.put(request)
        return dict(zip(self._outputs, results.to_tuple(), strict=True))

    def close(self) -> None:
        self.__dict__.pop("_idle", None)
        self.__dict__.pop("_compiled", None)


class OpenVinoRuntime(NativeRuntime):
    """Converts the ONNX file to OpenVINO's IR.

    FP32 engines are opened with float32 arithmetic. FP16 engines store their weights as float16 and
    execute in what the CPU is best at: bfloat16 with AMX or AVX512-BF16, otherwise float32.
    """

    name = "openvino"

    def missing(self) -> str | None:
        if find_spec("openvino") is None:
            return "OpenVINO is not installed: pip install 'dmformer[openvino]'"
        return None

    def build_engine(self, request: EngineRequest) -> EngineReport:
        openvino = telemetry.openvino()
        directory = Path(request.directory)
        model = openvino.convert_model(request.onnx)
        # A graph whose float weights are already float16 behind casts is stored as it is.
        openvino.save_model(model, str(directory / ENGINE_FILE), compress_to_fp16=request.precision == "fp16")
        options = {PRECISION_HINT: "f32"} if request.precision == "fp32" else {}
        compiled = openvino.Core().compile_model(str(directory / ENGINE_FILE), "CPU", options)
        return EngineReport(
            roles={ENGINE_FILE: "engine", WEIGHTS_FILE: "weights"},
            version=version("openvino"),
            options=options,
            executes=executed_precision(compiled, request.precision),
        )

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        return OpenVinoSession(bundle.file("engine"), bundle, options)


def executed_precision(compiled: Any, requested: str) -> str:
    """What a compiled model computes in, as OpenVINO reports it: INT8 layers beside the float precision of the rest."""
    hint = compiled.get_property(PRECISION_HINT).get_type_name()
    floating = NAMES.get(hint, hint)
    return f"int8 with {floating}" if requested == "int8" else floating
