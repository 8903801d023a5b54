"""From the bytes of an engine to an opened one; the library needs a GPU for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.tensorrt.loading import Loaded
from dmformer.runtimes.tensorrt.stamp import PORTABLE, rebuild_command
from dmformer.runtimes.tensorrt.watching import make_log

if TYPE_CHECKING:
    import tensorrt as trt


def deserialize(loaded: Loaded, content: bytes, portable: bool) -> tuple[trt.ICudaEngine | None, str]:
    """The engine, or None where the library refuses it, and the library's complaint.

    Args:
        loaded: The library.
        content: A serialized engine.
        portable: Whether it was built for other versions: it carries the runtime of its own version as host code.
    """
    log = make_log(loaded.module)
    runtime: trt.Runtime = loaded.module.Runtime(log.logger)
    if portable:
        runtime.engine_host_code_allowed = True
    engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(content)
    return engine, log.complaint()


def open_engine(loaded: Loaded, bundle: Bundle) -> trt.ICudaEngine:
    """Deserializes a bundle's engine.

    Raises:
        EngineError: The library refuses it.
    """
    path = bundle.file("engine")
    engine, complaint = deserialize(loaded, path.read_bytes(), bundle.manifest.runtime.options.get(PORTABLE) == "true")
    if engine is None:
        raise EngineError(f"{path}: {loaded.library.title} cannot load it ({complaint})", rebuild_command(bundle))
    return engine
