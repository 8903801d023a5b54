"""Sessions without a GPU: a stand-in for the CUDA runtime and for the engine that counts what it is asked.

What a stand-in cannot tell, whether a GPU computes the same, is tested by ``test_engines`` where there is one.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dmformer.errors import EngineError, MissingBackendError
from dmformer.fields import TensorSpec
from dmformer.runtimes.tensorrt import cuda as cuda_module
from dmformer.runtimes.tensorrt.cuda import Cuda
from dmformer.runtimes.tensorrt.session import Ends, Lane

ENDS = Ends("image", (4, 2), (("logits", (4, 2), "float32"),), lambda shape: (TensorSpec(name="logits", shape=shape),))
FUNCTIONS = {
    "cudaSetDevice": (1, 0), "cudaMalloc": (1, 1), "cudaMallocHost": (1, 1), "cudaFree": (1, 0), "cudaFreeHost": (1, 0),
    "cudaMemcpyAsync": (5, 0), "cudaStreamCreate": (0, 1), "cudaStreamSynchronize": (1, 0), "cudaStreamDestroy": (1, 0),
    "cudaEventCreate": (0, 1), "cudaEventRecord": (2, 0), "cudaEventElapsedTime": (2, 1), "cudaEventDestroy": (1, 0),
}  # fmt: skip
"""Of ``cuda.bindings.runtime`` (13.5, nvidia.github.io/cuda-python) those that sessions need: how many arguments each
takes, and how many results it gives behind the error code. What is not here, the stand-in has not got."""
KINDS = SimpleNamespace(cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down")


class FakeRuntime:
    """Memory is the host's, everything happens at once, and every call is written down."""

    cudaMemcpyKind = KINDS  # noqa: N815 - CUDA's name

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.memory: dict[int, Any] = {}
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        if name not in FUNCTIONS:
            raise AttributeError(f"module 'cuda.bindings.runtime' has no attribute {name!r}")
        arguments, results = FUNCTIONS[name]

        def call(*given: Any) -> tuple[Any, ...]:
            assert len(given) == arguments, f"{name} takes {arguments} arguments"
            self.calls.append(name)
            if name == self.failing:
                return (2,)
            action = type(self).__dict__.get(f"do_{name[4:].lower()}")
            found = action(self, *given) if action else (0,) * results
            assert len(found) == results, f"{name} gives {results} results"
            return (0, *found)

        return call

    def do_malloc(self, size: int) -> tuple[int]:
        memory = (ctypes.c_byte * size)()
        address = ctypes.addressof(memory)
        self.memory[address] = memory
        return (address,)

    do_mallochost = do_malloc

    def do_free(self, address: int) -> tuple[()]:
        del self.memory[address]
        return ()

    do_freehost = do_free

    def do_memcpyasync(self, target: int, source: int, size: int, kind: str, stream: Any) -> tuple[()]:
        assert kind in ("up", "down")
        ctypes.memmove(target, source, size)
        return ()

    def do_eventelapsedtime(self, start: Any, end: Any) -> tuple[float]:
        return (0.5,)


class FakeContext:
    """Doubles its input."""

    def __init__(self, fails: bool = False) -> None:
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()
        self.runs, self.fails = 0, fails
        self.profiler: Any = None

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def execute_async_v3(self, stream: int) -> bool:
        self.runs += 1
        if self.profiler is not None:
            self.profiler.report_layer_time("double", 0.25)
        size = int(np.prod(self.shape))
        source, target = ((ctypes.c_float * size).from_address(self.addresses[n]) for n in ("image", "logits"))
        for index in range(size):
            target[index] = source[index] * 2
        return not self.fails


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(cuda_module, "cuda_runtime", lambda: fake)
    return fake


def lane_of(context: FakeContext | None) -> Lane:
    engine: Any = SimpleNamespace(create_execution_context=lambda: context)
    return Lane(Cuda(0), engine, ENDS)


def test_a_batch_goes_up_is_computed_and_comes_down(runtime: FakeRuntime) -> None:
    lane = lane_of(FakeContext())
    batch = np.arange(6, dtype=np.float32).reshape(3, 2)
    results, timing = lane.run(batch)
    found = results["logits"]
    np.testing.assert_array_equal(found, batch * 2)
    assert (timing.h2d, timing.compute, timing.d2h) == (0.5, 0.5, 0.5)
    again = lane.run(batch + 1)[0]["logits"]
    np.testing.assert_array_equal(found, batch * 2)
    assert not np.shares_memory(found, again), "the caller owns what it got"


def test_layers_are_timed(runtime: FakeRuntime) -> None:
    context = FakeContext()
    lane = lane_of(context)
    module = SimpleNamespace(IProfiler=type("IProfiler", (), {}))
    for _ in range(2):
        assert lane.run_profiled(np.ones((2, 2), np.float32), module) == [("double", 0.25)]


def test_closing_gives_all_memory_back(runtime: FakeRuntime) -> None:
    lane = lane_of(FakeContext())
    assert len(runtime.memory) == 4
    lane.close()
    assert runtime.memory == {}


def test_an_error_of_cuda_is_one_line(runtime: FakeRuntime) -> None:
    runtime.failing = "cudaMalloc"
    with pytest.raises(EngineError, match=r"CUDA: cudaMalloc failed \(2\)"):
        lane_of(FakeContext())


def test_a_context_that_cannot_be_made(runtime: FakeRuntime) -> None:
    with pytest.raises(EngineError, match="not enough GPU memory"):
        lane_of(None)


def test_an_engine_that_fails_while_it_runs(runtime: FakeRuntime) -> None:
    lane = lane_of(FakeContext(fails=True))
    with pytest.raises(EngineError, match="failed while it ran"):
        lane.run(np.zeros((1, 2), np.float32))


def test_without_cuda_bindings_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_module, "MODULES", ("cuda.nowhere",))
    with pytest.raises(MissingBackendError, match="cuda-bindings") as caught:
        Cuda(0)
    assert str(caught.value.hint).startswith("pip install cuda-bindings")
