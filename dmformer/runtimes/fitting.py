"""Whether a machine is one that a bundle was made for. Imports no runtime."""

from __future__ import annotations

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.manifest import Manifest
from dmformer.targets import get_target


def needed_isas(manifest: Manifest) -> tuple[str, ...]:
    """The instruction sets that an INT8 engine was made for: the CPU must have one like them; empty asks for none.

    An engine whose integers were chosen for a named CPU (``--cpu-isa``) says so; of others it is the builder's.
    """
    if manifest.precision.requested != "int8" or not get_target(manifest.target).integers_of_cpu:
        return ()
    named = manifest.precision.isa
    isas = host.INT8_ISAS.get(named, ()) if named is not None else manifest.host.cpu_isa
    return tuple(name for name in host.DOT_PRODUCTS if name in isas)


def check_machine(bundle: Bundle) -> None:
    """Raises `EngineError` where a bundle would not run here, or run wrongly: another GPU, or INT8 for another CPU."""
    manifest, here = bundle.manifest, host.cpu()
    again = f"export it again on this machine: dmformer export --target {manifest.target}"
    if manifest.host.gpu is not None and manifest.host.gpu != (host.nvidia_gpu() or ""):
        raise EngineError(f"{bundle.path}: was built for the GPU {manifest.host.gpu}, which is not here", again)
    needed = needed_isas(manifest)
    if needed and not set(host.DOT_PRODUCTS) & set(here.isa):
        raise EngineError(
            f"{bundle.path}: its INT8 is for a CPU with {', '.join(needed)}, and {here.name} has none of them: "
            "sums would saturate",
            f"{again} --int8",
        )
