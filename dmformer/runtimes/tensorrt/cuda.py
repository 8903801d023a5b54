"""The few calls of the CUDA runtime that a session needs, by ``cuda-bindings`` (older: ``cuda-python``)."""

from __future__ import annotations

import ctypes
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import EngineError, MissingBackendError

MODULES = ("cuda.bindings.runtime", "cuda.cudart")
INSTALL = "pip install cuda-bindings (the major version of your CUDA: 12 on JetPack 6, 13 on JetPack 7)"


class Cuda:
    """The CUDA runtime on one device; every call raises where CUDA reports an error.

    Args:
        device: Index of the GPU.

    Raises:
        MissingBackendError: The Python package is not installed.
        EngineError: The device cannot be used.
    """

    def __init__(self, device: int) -> None:
        self.api = cuda_runtime()
        self.device = device
        self.call("cudaSetDevice", device)

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls a function of the runtime and gives its result, None where it has none.

        Raises:
            EngineError: CUDA reported an error.
        """
        code, *results = getattr(self.api, name)(*arguments)
        if int(code) != 0:
            reason = getattr(code, "name", str(code))
            raise EngineError(f"CUDA: {name} failed ({reason})", "see nvidia-smi: is the GPU busy or out of memory?")
        return results[0] if results else None

    def copy(self, target: int, source: int, size: int, to_device: bool, stream: Any) -> None:
        """Queues a copy between pinned host memory and the device, ``size`` in bytes."""
        kinds = self.api.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, size, kind, stream)


class Pinned:
    """A tensor's memory twice: pinned on the host, and on the device.

    Args:
        cuda: The runtime.
        shape: Largest shape; any with no more elements fits.
        dtype: Of the elements.
    """

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._cuda = cuda
        size = prod(shape) * dtype.itemsize
        self.on_device = int(cuda.call("cudaMalloc", size))
        self._on_host = int(cuda.call("cudaMallocHost", size))
        memory = memoryview((ctypes.c_byte * size).from_address(self._on_host)).cast("B")
        self.array: NDArray[Any] = np.frombuffer(memory, dtype)

    def upload(self, values: NDArray[Any], stream: Any) -> None:
        """Queues the transfer of values to the device, through the pinned memory."""
        part = self.array[: values.size].reshape(values.shape)
        part[...] = values
        self._cuda.copy(self.on_device, self._on_host, part.nbytes, to_device=True, stream=stream)

    def download(self, shape: tuple[int, ...], stream: Any) -> NDArray[Any]:
        """Queues the transfer of a tensor of a shape; the view holds it when the stream has caught up."""
        part = self.array[: prod(shape)].reshape(shape)
        self._cuda.copy(self._on_host, self.on_device, part.nbytes, to_device=False, stream=stream)
        return part

    def free(self) -> None:
        self.array = np.empty(0)
        self._cuda.call("cudaFree", self.on_device)
        self._cuda.call("cudaFreeHost", self._on_host)


def cuda_runtime() -> Any:
    """The CUDA runtime's Python API.

    Raises:
        MissingBackendError: It is not installed.
    """
    for name in MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingBackendError("running an engine needs cuda-bindings, which is not installed", INSTALL)
