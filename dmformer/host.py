"""What the machine is, as far as it decides how an engine is built and how fast it runs."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dmformer import limits
from dmformer.records import HostRecord
from dmformer.targets import packages
from dmformer.tools import output_of

CPUINFO = Path("/proc/cpuinfo")

ISA_FLAGS: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2",),
    "avx512": ("avx512f", "avx512bw", "avx512vl"),
    "avx-vnni": ("avx_vnni",),
    "avx512-vnni": ("avx512_vnni",),
    "avx512-bf16": ("avx512_bf16",),
    "avx512-fp16": ("avx512_fp16",),
    "amx-int8": ("amx_tile", "amx_int8"),
    "amx-bf16": ("amx_tile", "amx_bf16"),
    "arm-dotprod": ("asimddp",),
    "arm-i8mm": ("i8mm",),
    "arm-bf16": ("bf16",),
    "arm-fp16": ("asimdhp",),
}
"""Instruction sets that matter to INT8 and half precision, with the flags Linux shows for them."""

INT8_ISAS: dict[str, tuple[str, ...]] = {
    "amx": ("amx-int8",),
    "avx512-vnni": ("avx512-vnni",),
    "avx2-vnni": ("avx-vnni",),
    "arm64-i8mm": ("arm-i8mm",),
    "arm64-dotprod": ("arm-dotprod",),
    "avx512": ("avx512",),
    "avx2": ("avx2",),
}
"""What the INT8 emitters call a CPU (``dmformer.graph.qdq.scheme.CPU_ISAS``), the fastest first, and what it has."""
DOT_PRODUCTS = ("avx512-vnni", "avx-vnni", "amx-int8", "arm-dotprod", "arm-i8mm")
"""Those of `ISA_FLAGS` that add 8-bit products without saturating."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
EXPORT_PACKAGES = ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "safetensors")


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        name: Its own name for itself.
        isa: Those of `ISA_FLAGS` that it has, in that order.
    """

    name: str
    isa: tuple[str, ...]


@functools.cache
def cpu() -> Cpu:
    """The processor of this machine."""
    text = CPUINFO.read_text(errors="replace") if CPUINFO.exists() else ""
    flags = frozenset(_field(text, "flags").split() or _field(text, "Features").split() or _darwin_flags())
    isa = tuple(name for name, needed in ISA_FLAGS.items() if flags.issuperset(needed))
    return Cpu(_field(text, "model name") or _fallback_name(), isa)


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16."""
    return any(name.endswith("-bf16") for name in cpu().isa)


def available_cores() -> int:
    """Logical cores that this process may keep busy: those that it may run on, and no more than its group's quota.

    Part of a core is left out: with one thread more than the quota pays for, all of them are stopped together.
    """
    quota = limits.cpu_limit()
    return schedulable_cores() if quota is None else max(1, min(schedulable_cores(), int(quota)))


def schedulable_cores() -> int:
    """Logical cores that this process may run on, one after the other: its affinity, which holds its group's cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_per_stream(threads: int, streams: int = 1) -> int:
    """Threads inside one inference: as many as are named; where several run at once each gets its share of the cores.

    Args:
        threads: 0 leaves the choice here.
        streams: Inferences at the same time.

    Returns:
        0 where the runtime may choose: it goes by the cores that the process may run on, and knows no quota.
    """
    cores = available_cores()
    if threads or (streams == 1 and cores == schedulable_cores()):
        return threads
    return max(1, cores // streams)


def thread_variables() -> dict[str, str]:
    """The variables of the environment that say how many threads libraries with OpenMP (PyTorch) take."""
    return {name: value for name in THREAD_VARIABLES if (value := os.environ.get(name))}


def keep_to_quota() -> None:
    """Has libraries with OpenMP that this process has yet to load, and its children, go by the quota as well."""
    threads = threads_per_stream(0)
    if threads and not thread_variables():
        os.environ[THREAD_VARIABLES[0]] = str(threads)


def host_record() -> HostRecord:
    """This machine as a manifest records it."""
    processor = cpu()
    return HostRecord(os=platform.system(), machine=platform.machine(), cpu=processor.name, cpu_isa=processor.isa)


def memory_bytes() -> int | None:
    """Physical memory of the machine, or None where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _field(text: str, name: str) -> str:
    line = next((line for line in text.splitlines() if line.split(":")[0].strip() == name), "")
    return line.partition(":")[2].strip()


def _fallback_name() -> str:
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _darwin_flags() -> list[str]:
    """Linux's names of the features that macOS reports on Apple silicon."""
    known = {"asimddp": "FEAT_DotProd", "i8mm": "FEAT_I8MM", "bf16": "FEAT_BF16", "asimdhp": "FEAT_FP16"}
    return [flag for flag, key in known.items() if _sysctl(f"hw.optional.arm.{key}") == "1"]


def _sysctl(key: str) -> str:
    if platform.system() != "Darwin":
        return ""
    done = subprocess.run(["/usr/sbin/sysctl", "-n", key], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def package_version(name: str) -> str | None:
    """The installed version of a package, or None. Imports nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def library_versions(*others: str) -> dict[str, str]:
    """The installed ones of all targets' libraries and of some more packages, with their versions. Imports nothing."""
    names = dict.fromkeys((*others, *packages()))
    return {name: version for name in names if (version := package_version(name)) is not None}


def int8_isa() -> str:
    """This machine's instruction set as the INT8 emitters name it (``dmformer.graph.qdq.scheme.CPU_ISAS``)."""
    isa = cpu().isa
    default = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "avx2"
    return next((name for name, needed in INT8_ISAS.items() if set(needed) <= set(isa)), default)


def int8_advice(isa: tuple[str, ...]) -> str:
    """What INT8 is worth on a CPU with these instruction sets, in one line."""
    for name, words in (
        ("amx-int8", "fast: AMX tiles"),
        ("avx512-vnni", "fast: AVX512-VNNI"),
        ("avx-vnni", "fast: AVX-VNNI"),
        ("arm-i8mm", "fast: int8 matrix instructions"),
        ("arm-dotprod", "fast: dot product instructions"),
        ("avx2", "no VNNI: 8-bit products saturate, so weights keep 7 bits; little faster than FP32"),
    ):
        if name in isa:
            return words
    return "no instruction set that helps: expect no gain"


def half_advice(isa: tuple[str, ...]) -> str:
    """What half precision executes as on a CPU with these instruction sets, in one line."""
    for name, words in (
        ("amx-bf16", "bfloat16 executes on AMX tiles"),
        ("avx512-bf16", "bfloat16 executes on AVX512"),
        ("arm-fp16", "float16 executes natively"),
    ):
        if name in isa:
            return words
    return "no arithmetic of its own: FP16 halves the file and executes as float32"


def nvidia_gpu() -> str | None:
    """Name, compute capability and driver of the first NVIDIA GPU as ``nvidia-smi`` tells it, or None."""
    query = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
    lines = output_of(*query, seconds=10).strip().splitlines()
    return lines[0].strip() if lines else None
