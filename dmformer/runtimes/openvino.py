"""OpenVINO on the CPU: IR files (xml and bin)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
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
from dmformer.tasks.base import joined

ENGINE_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
PRECISION_HINT = "INFERENCE_PRECISION_HINT"
AGAIN = "export it again"
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
"""OpenVINO's types as this project calls them; of 8-bit ones, what layers compute in."""
ELEMENTS = {"f32": "float32", "f16": "float16", "u8": "uint8", "i32": "int32"}
CONVOLUTIONS = ("Convolution", "GroupConvolution")


class OpenVinoSession(Session):
    """A compiled OpenVINO model with one inference request for each stream."""

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        only_cpu(options, "openvino")
        path, manifest = bundle.file("engine"), bundle.manifest
        config = {**manifest.runtime.options, **latency_config(options.threads, options.streams)}
        try:
            core, model = read_engine(path, manifest)
            self._compiled = core.compile_model(model, "CPU", config)
        except ImportError:  # of OpenVINO itself: the registry says what to install
            raise
        except Exception as error:
            raise EngineError(f"{path}: OpenVINO cannot load it ({short_reason(error)})", AGAIN) from error
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(options.streams):
            self._idle.put(self._compiled.create_infer_request())
        self._path, self._input = path, manifest.input
        self._outputs = [spec.name for spec in manifest.outputs]
        self.execution = Execution("CPU", executed_precision(self._compiled, manifest.precision.requested))

    def run(self, batch: NDArray[Any], only: str | None = None) -> dict[str, Array]:
        check_batch(batch, self._input.shape, self._input.dtype)
        names = [only] if only else self._outputs
        request = self._idle.get()
        try:
            results = request.infer([batch], share_inputs=True, share_outputs=True)
            return {name: np.array(results[self._outputs.index(name)]) for name in names}
        except Exception as error:
            raise EngineError(f"{self._path}: OpenVINO cannot run it ({short_reason(error)})", AGAIN) from error
        finally:
            self._idle.put(request)

    def close(self) -> None:
        self.__dict__.pop("_idle", None)
        self.__dict__.pop("_compiled", None)


def read_engine(path: Path, manifest: Manifest) -> tuple[Any, Any]:
    """OpenVINO's core and the model in an engine's file.

    Raises:
        InterfaceError: It is not what its manifest says, or may not come to an end.
        RuntimeError: OpenVINO refuses it.
    """
    core = telemetry.openvino().Core()
    model = core.read_model(str(path))
    check_operators(operation.get_type_name() for operation in model.get_ops())
    check_interface(_tensors(model.inputs), _tensors(model.outputs), manifest)
    return core, model


def latency_config(threads: int, streams: int = 1) -> dict[str, str]:
    """What a model is compiled with: ``threads`` inside an inference (0: choose), ``streams`` inferences at once."""
    config = {"PERFORMANCE_HINT": "LATENCY"}
    if each := threads_per_stream(threads, streams):
        config["INFERENCE_NUM_THREADS"] = str(each * streams)
    if streams > 1:
        config["NUM_STREAMS"] = str(streams)
    return config


class OpenVinoRuntime(Runtime):
    """Converts the ONNX file to OpenVINO's IR.

    FP32 engines are opened with float32 arithmetic. FP16 engines store their weights as float16 and
    execute in what the CPU is best at: bfloat16 with AMX or AVX512-BF16, otherwise float32. So do the float parts of
    INT8 engines, unless the build is told ``full_precision``.
    """

    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        openvino = telemetry.openvino()
        directory = Path(request.directory)
        model = openvino.convert_model(request.onnx)
        # A graph whose float weights are already float16 behind casts is stored as it is.
        openvino.save_model(model, str(directory / ENGINE_FILE), compress_to_fp16=request.precision == "fp16")
        full = request.precision == "fp32" or request.build.get("full_precision", False)
        options = {PRECISION_HINT: "f32"} if full else {}
        compiled = openvino.Core().compile_model(str(directory / ENGINE_FILE), "CPU", options)
        return EngineReport(
            roles={ENGINE_FILE: "engine", WEIGHTS_FILE: "weights"},
            version=self.version(),
            options=options,
            executes=executed_precision(compiled, request.precision),
        )

    def preload(self) -> None:
        telemetry.openvino()

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        return OpenVinoSession(bundle, options)


def open_graph(graph: bytes, full_precision: bool) -> Call:
    """A graph opened for a trial, by `dmformer.runtimes.base.OpenGraph`; in bfloat16 where the CPU has it."""
    openvino = telemetry.openvino()
    config = latency_config(0) | ({PRECISION_HINT: "f32"} if full_precision else {})
    compiled = openvino.Core().compile_model(openvino.convert_model(io.BytesIO(graph)), "CPU", config)
    request = compiled.create_infer_request()
    return lambda batch: joined(request.infer([batch], share_inputs=True, share_outputs=False).to_tuple())


@dataclass(frozen=True)
class Layer:
    """A layer of a compiled model: its type, the primitive chosen for it, and the type that it works on."""

    kind: str
    primitive: str
    precision: str


def executed_precision(compiled: Any, requested: str) -> str:
    """What a compiled model computes in on this machine, as OpenVINO reports it."""
    return precision_of_layers(_layers(compiled), compiled.get_property(PRECISION_HINT).get_type_name(), requested)


def precision_of_layers(layers: Sequence[Layer], hint: str, requested: str) -> str:
    """What a network's convolutions are computed in.

    Args:
        layers: Of the compiled model.
        hint: The float type that OpenVINO was asked for: it counts where no convolution is in floating point.
        requested: The bundle's precision. An INT8 engine of which fewer than half of the convolutions are computed in
            integers says how many are.
    """
    counts = Counter(primitive_type(layer.primitive, layer.precision) for layer in layers if layer.kind in CONVOLUTIONS)
    total, integers = counts.total(), counts.pop("int8", 0)
    floating = counts.most_common(1)[0][0] if counts else NAMES.get(hint, hint)
    if requested != "int8":
        return floating
    return with_integers(integers, total, floating, f"int8 with {floating}")


def primitive_type(primitive: str, precision: str = "") -> str:
    """What a primitive computes in, from its name (``brgconv_avx512_1x1_I8``), or else from the type it works on."""
    last = primitive.rpartition("_")[2].lower()
    return NAMES.get(last) or NAMES.get(precision, precision) or last


def _layers(compiled: Any) -> list[Layer]:
    layers = []
    for operation in compiled.get_runtime_model().get_ops():
        facts = operation.get_rt_info()
        keys = ("layerType", "primitiveType", "runtimePrecision")
        layers.append(Layer(*(str(facts[key].value) if key in facts else "" for key in keys)))
    return layers


def _tensors(ports: Sequence[Any]) -> list[Tensor]:
    """Inputs or outputs as OpenVINO tells them."""
    return [
        Tensor(
            frozenset(port.names),
            tuple(size.get_length() if size.is_static else None for size in port.partial_shape),
            ELEMENTS.get(port.element_type.get_type_name(), port.element_type.get_type_name()),
        )
        for port in ports
    ]
