"""Which integers a CPU multiplies well: the choice of 8-bit types by instruction set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dmformer.errors import UsageError
from dmformer.graph.qdq.affine import S8, U8, IntType

CpuIsa = Literal["amx", "avx512-vnni", "avx2-vnni", "avx512", "avx2", "arm64-i8mm", "arm64-dotprod", "arm64"]
CPU_ISAS: tuple[CpuIsa, ...] = get_args(CpuIsa)


@dataclass(frozen=True)
class Scheme:
    """The integers of a quantized graph.

    Attributes:
        name: ``U8S8``, ``S8S8``, or ``U8S7`` for weights of seven bits.
        activation: Type of every activation.
        weight_reach: Largest weight code: 127, or 63 where two products of full range would saturate the
            16-bit sums of CPUs without VNNI (onnxruntime issue 6004). Weights are symmetric int8.
    """

    name: str
    activation: IntType
    weight_reach: int


U8S8 = Scheme("U8S8", U8, 127)
U8S7 = Scheme("U8S7", U8, 63)
S8S8 = Scheme("S8S8", S8, 127)

_BY_ISA: dict[str, Scheme] = {
    "amx": U8S8,
    "avx512-vnni": U8S8,
    "avx2-vnni": U8S8,
    "avx512": U8S7,
    "avx2": U8S7,
    "arm64-i8mm": S8S8,
    "arm64-dotprod": S8S8,
    "arm64": S8S8,
}


def scheme_for(isa: str) -> Scheme:
    """The scheme of ONNX Runtime's fastest exact kernels on a CPU.

    Args:
        isa: One of `CPU_ISAS`.

    Raises:
        UsageError: An instruction set that is not known.
    """
    if isa not in _BY_ISA:
        raise UsageError(f"CPU instruction set {isa!r} is not known", f"use --cpu-isa {', '.join(CPU_ISAS)}")
    return _BY_ISA[isa]
