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
        self._output = Pinned(cuda, ends.output_shape, np.dtype(np.float32))
        context.set_tensor_address(ends.input, self._input.on_device)
        context.set_tensor_address(ends.output, self._output.on_device)

    def run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], Timing]:
        """One inference: upload, computation, download. The result is the caller's own."""
        self._context.set_input_shape(self._ends.input, batch.shape)
        self._mark(0)
        self._input.upload(batch, self._stream)
        self._mark(1)
        self._enqueue()
        self._mark(2)
        output = self._output.download(self._ends.output_for(batch.shape), self._stream)
        self._mark(3)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        return output.copy(), self._timing()

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
        self._output.free()
        for event in self._events:
            self._cuda.call("cudaEventDestroy", event)
        self._cuda.call("cudaStreamDestroy", self._stream)


@dataclass(frozen=True)
class Ends:
    """Names and largest shapes of an engine's input and output, and the output's shape for that of an input."""

    input: str
    output: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    output_for: Callable[[tuple[int, ...]], tuple[int, ...]]


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

    def run(self, batch: NDArray[np.float32]) -> dict[str, Array]:
        return self.run_timed(batch)[0]

    def run_timed(self, batch: NDArray[np.float32]) -> tuple[dict[str, Array], Timing]:
        """`run`, with the times of its parts on the GPU's own clock."""
        check_batch(batch, self._shape)
        check_profile(batch.shape, self._ends.input_shape)
        lane = self._idle.get()
        try:
            # The device is a property of the thread.
            self._cuda.call("cudaSetDevice", self._cuda.device)
            output, timing = lane.run(batch)
        finally:
            self._idle.put(lane)
        return {self._ends.output: output}, timing

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
    """Input and output of an engine.

    Raises:
        EngineError: They are not what the manifest names.
    """
    source, result = bundle.manifest.input, bundle.manifest.output
    names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    kinds = {name: engine.get_tensor_dtype(name) for name in names}
    if names != {source.name, result.name} or any(kind != loaded.module.DataType.FLOAT for kind in kinds.values()):
        raise EngineError(f"{bundle.path}: the engine has the tensors {sorted(names)}", rebuild_command(bundle))
    _, _, most = engine.get_tensor_profile_shape(source.name, 0)
    largest = tuple(size or int(end) for size, end in zip(source.shape, most, strict=True))

    def output_for(shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(size or 1 for size in bundle.manifest.output_shape(shape))

    return Ends(source.name, result.name, largest, output_for(largest), output_for)
