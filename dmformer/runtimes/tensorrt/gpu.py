"""The NVIDIA GPUs of this machine, as the driver itself tells them; needs no package."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
MAJOR, MINOR, INTEGRATED = 75, 76, 18
"""CUdevice_attribute: compute capability, and whether the GPU shares the machine's memory (as on a Jetson)."""


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: Its own name.
        compute_capability: As ``8.7``.
        driver: The newest CUDA version that the driver knows, as ``12.6``.
        memory_bytes: Its memory.
        integrated: Whether that is the machine's own memory.
    """

    name: str
    compute_capability: str
    driver: str
    memory_bytes: int
    integrated: bool

    def __str__(self) -> str:
        return f"{self.name}, compute capability {self.compute_capability}, CUDA {self.driver}"


def gpus() -> tuple[Gpu, ...]:
    """All GPUs in the driver's order; empty where there is no driver or no GPU."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_describe(driver, index) for index in range(count.value))


def _describe(driver: ctypes.CDLL, index: int) -> Gpu:
    device, version, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{attribute(MAJOR)}.{attribute(MINOR)}",
        driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
        memory_bytes=memory.value,
        integrated=attribute(INTEGRATED) == 1,
    )
