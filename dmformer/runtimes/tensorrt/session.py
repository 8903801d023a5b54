"""An opened engine on a GPU: contexts, streams and pinned buffers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.fields import TensorSpec
from dmformer.runtimes.base import Array, Execution, Session, SessionOptions, check_batch
from dmformer.runtimes.tensorrt.cuda import Cuda, Pinned
from dmformer.runtimes.tensorrt.gpu import Gpu, gpus
from dmformer.runtimes.tensorrt.loading import Loaded
from dmformer.runtimes.tensorrt.opening import open_engine
from dmformer.runtimes.tensorrt.stamp import check_stamp, rebuild_command
from dmformer.runtimes.tensorrt.watching import make_profiler

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class Timing:
    """The parts of one inference in milliseconds, named as trtexec names them.

    Attributes:
        h2d: H2D Latency.
        compute: GPU Compute Time.
        d2h: D2H Latency.
    """

    h2d: float
    compute: float
    d2h: float


class Lane:
    """All that one caller's thread needs for itself: context, stream, buffers and events.

    Args:
        cuda: The runtime.
        engine: The opened engine.
    """

    def __init__(self, cuda: Cuda, engine: trt.ICudaEngine, ends: Ends) -> None:
        self._cuda, self._ends = cuda, ends
        context: trt.IExecutionContext | None = engine.create_execution_context()
        if context is None:
            raise EngineError("the engine cannot be prepared to run: not enough GPU memory?", "close other programs")
        self._context = context
        self._stream = cuda.call("cudaStreamCreate")
        self._events = [cuda.call("cudaEventCreate") for _ in range(4)]
        self._input = Pinned(cuda, ends.input_shape, np.dtype(np.float32))
        self._outputs = {name: Pinned(cuda, shape, np.dtype(kind)) for name, shape, kind in ends.outputs}
        context.set_tensor_address(ends.input, self._input.on_device)
        for name, output in self._outputs.items():
            context.set_tensor_address(name, output.on_device)

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> tuple[dict[str, Array], Timing]:
        """One inference: upload, computation, download of one output or of all. The results are the caller's own."""
        self._context.set_input_shape(self._ends.input, batch.shape)
        self._mark(0)
        self._input.upload(batch, self._stream)
        self._mark(1)
        self._enqueue()
        self._mark(2)
        shapes = {spec.name: whole(spec.shape) for spec in self._ends.outputs_for(batch.shape)}
        wanted = [only] if only else list(self._outputs)
        outputs = {name: self._outputs[name].download(shapes[name], self._stream) for name in wanted}
        self._mark(3)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        return {name: output.copy() for name, output in outputs.items()}, self._timing()

    def run_profiled(self, batch: NDArray[np.float32], module: Any) -> list[tuple[str, float]]:
        """Name and milliseconds of each layer in one inference.

        The library cannot be told to stop profiling a context: close the session afterwards.
        """
        times: list[tuple[str, float]] = []
        self._context.profiler = make_profiler(module, times)
        self.run(batch)
        return times

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise EngineError("the engine failed while it ran", "run it again with dmformer --verbose COMMAND")

    def _mark(self, index: int) -> None:
        self._cuda.call("cudaEventRecord", self._events[index], self._stream)

    def _timing(self) -> Timing:
        pairs = zip(self._events, self._events[1:], strict=False)
        return Timing(*(float(self._cuda.call("cudaEventElapsedTime", start, end)) for start, end in pairs))

    def close(self) -> None:
        self._input.free()
        for output in self._outputs.values():
            output.free()
        for event in self._events:
            self._cuda.call("cudaEventDestroy", event)
        self._cuda.call("cudaStreamDestroy", self._stream)


@dataclass(frozen=True)
class Ends:
    """Name and largest shape of an engine's input, names, largest shapes and dtypes of its outputs.

    Attributes:
        outputs_for: Gives the outputs for the shape of an input.
    """

    input: str
    input_shape: tuple[int, ...]
    outputs: tuple[tuple[str, tuple[int, ...], str], ...]
    outputs_for: Callable[[tuple[int, ...]], tuple[TensorSpec, ...]]


class TensorRtSession(Session):
    """An engine of either library, with one `Lane` for each stream.

    Args:
        loaded: The library.
        bundle: Its engine is checked against this machine before it is loaded.
        options: Device ``cuda:N``; ``cpu``, the default of every command, means the first GPU.

    Raises:
        EngineError: No GPU, an engine of another version or GPU, or one that the library refuses.
        UsageError: There is no such device.
    """

    def __init__(self, loaded: Loaded, bundle: Bundle, options: SessionOptions) -> None:
        index, gpu = choose_gpu(options.device)
        check_stamp(bundle, loaded.library, loaded.version, gpu)
        cuda = Cuda(index)
        self._cuda, self._module = cuda, loaded.module
        self._shape = bundle.manifest.input.shape
        self._engine = open_engine(loaded, bundle)
        self._ends = ends_of(loaded, self._engine, bundle)
        self._lanes = [Lane(cuda, self._engine, self._ends) for _ in range(options.streams)]
        self._idle: SimpleQueue[Lane] = SimpleQueue()
        for lane in self._lanes:
            self._idle.put(lane)
        self.execution = Execution(gpu.name, bundle.manifest.precision.executes)

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> dict[str, Array]:
        return self.run_timed(batch, only)[0]

    def run_timed(self, batch: NDArray[np.float32], only: str | None = None) -> tuple[dict[str, Array], Timing]:
        """`run`, with the times of its parts on the GPU's own clock."""
        check_batch(batch, self._shape)
        check_profile(batch.shape, self._ends.input_shape)
        lane = self._idle.get()
        try:
            # The device is a property of the thread.
            self._cuda.call("cudaSetDevice", self._cuda.device)
            return lane.run(batch, only)
        finally:
            self._idle.put(lane)

    def run_profiled(self, batch: NDArray[np.float32]) -> list[tuple[str, float]]:
        """Name and milliseconds of each layer in one inference, by the library's profiler, which slows it down."""
        check_batch(batch, self._shape)
        lane = self._idle.get()
        try:
            self._cuda.call("cudaSetDevice", self._cuda.device)
            return lane.run_profiled(batch, self._module)
        finally:
            self._idle.put(lane)

    def close(self) -> None:
        for lane in self.__dict__.pop("_lanes", []):
            lane.close()
        self.__dict__.pop("_engine", None)


def check_profile(shape: tuple[int, ...], largest: tuple[int, ...]) -> None:
    """Raises `UsageError` for more or larger images than an engine was built for."""
    if shape[0] > largest[0]:
        raise UsageError(
            f"the engine takes at most {largest[0]} images at once, not {shape[0]}",
            "build it with a larger --max-batch",
        )
    if any(side > most for side, most in zip(shape[2:], largest[2:], strict=False)):
        raise UsageError(
            f"the engine takes images of at most {largest[2]}x{largest[3]}, not {shape[2]}x{shape[3]}",
            "build it with a larger --max-imgsz",
        )


def choose_gpu(device: str) -> tuple[int, Gpu]:
    """The GPU that a device name means.

    Raises:
        EngineError: This machine has no NVIDIA GPU.
        UsageError: It has no such one, or the name means nothing.
    """
    here = gpus()
    if not here:
        raise EngineError(
            "this machine has no NVIDIA GPU that its driver can use",
            "run it on the device, or make a bundle for this machine: dmformer export --target onnxruntime",
        )
    named = re.fullmatch(r"(?:cpu|cuda|gpu)(?::([0-9]{0,4}))?|([0-9]{1,4})", device.lower())
    if named is None:
        raise UsageError(f"there is no device {device[:40]!r}", "use --device cuda:0")
    index = int(named.group(1) or named.group(2) or 0)
    if index >= len(here):
        names = ", ".join(f"cuda:{index} ({gpu.name})" for index, gpu in enumerate(here))
        raise UsageError(f"there is no GPU {index}", f"this machine has {names}")
    return index, here[index]


def ends_of(loaded: Loaded, engine: trt.ICudaEngine, bundle: Bundle) -> Ends:
    """Input and outputs of an engine.

    Raises:
        EngineError: They are not what the manifest names.
    """
    source, results = bundle.manifest.input, bundle.manifest.outputs
    kind = loaded.module.DataType
    known = {"float32": kind.FLOAT, "uint8": kind.UINT8, "int32": kind.INT32}
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    if {name: engine.get_tensor_dtype(name) for name in names} != {
        spec.name: known[spec.dtype] for spec in (source, *results)
    }:
        raise EngineError(f"{bundle.path}: the engine has the tensors {sorted(names)}", rebuild_command(bundle))
    _, _, most = engine.get_tensor_profile_shape(source.name, 0)
    largest = tuple(size or int(end) for size, end in zip(source.shape, most, strict=True))
    dtypes = {spec.name: spec.dtype for spec in results}
    ends = ((spec.name, whole(spec.shape), dtypes[spec.name]) for spec in bundle.manifest.outputs_for(largest))
    return Ends(source.name, largest, tuple(ends), bundle.manifest.outputs_for)


def whole(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """A shape of which nothing is open."""
    return tuple(size or 1 for size in shape)
