"""A package run by Core ML itself, on a Mac. Written against coremltools 9; not run where this project is tested.

``coremltools.models.MLModel.predict`` takes a PIL image or an array by input name, one sample at a time;
``MLComputePlan`` tells which device Core ML prefers for each operation (macOS 14 and later).
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.graph.coreml.plan import COMPUTE_UNITS, sizes_of
from dmformer.preprocessing import pixels_of
from dmformer.runtimes.base import Array, Execution, Session, SessionOptions, check_batch
from dmformer.runtimes.coreml.session import fitting, package_of
from dmformer.scratch import scratch_directory

UNITS = {"all": "ALL", "cpu": "CPU_ONLY", "cpu-and-gpu": "CPU_AND_GPU", "cpu-and-ne": "CPU_AND_NE"}
"""The names of `dmformer.graph.coreml.plan.COMPUTE_UNITS` in ``coremltools.ComputeUnit``."""
MODES = {1: "L", 3: "RGB"}


def coremltools() -> Any:
    """The library, imported without what it says of other libraries' versions."""
    with contextlib.redirect_stderr(io.StringIO()):
        import coremltools

    return coremltools


class CoreMlSession(Session):
    """A package opened by Core ML."""

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        """Compiles and loads the package.

        Args:
            bundle: Its bundle.
            options: ``device`` is one of ``COMPUTE_UNITS`` to run on; ``cpu``, the default of every command, stands for
                what the bundle was exported for.

        Raises:
            EngineError: Core ML refused the package.
        """
        ct = coremltools()
        manifest = bundle.manifest
        self._path, self._manifest = package_of(bundle), manifest
        units = manifest.runtime.options.get("compute_units", "all") if options.device == "cpu" else options.device
        if units not in COMPUTE_UNITS:
            raise UsageError(f"Core ML has no compute units {units!r}", f"choose from: {', '.join(COMPUTE_UNITS)}")
        try:
            self._model = ct.models.MLModel(str(self._path), compute_units=getattr(ct.ComputeUnit, UNITS[units]))
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineError(f"{self._path}: Core ML cannot load it ({reason})", "export it again") from error
        self._takes_pixels = manifest.runtime.options.get("input") == "image"
        self.execution = Execution(f"Core ML ({units})", manifest.precision.executes)

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> dict[str, Array]:
        manifest = self._manifest
        size = fitting(batch, manifest.preprocessing.channels, sizes_of(manifest))
        check_batch(batch, (manifest.input.shape[0], *size))
        if self._takes_pixels:
            parts: list[Any] = [
                _picture(one, self._manifest.preprocessing.channel_order)
                for one in pixels_of(batch, self._manifest.preprocessing)
            ]
        else:
            parts = list(_parts(batch, self._manifest.input.shape[0]))
        given = [self._model.predict({manifest.input.name: part}) for part in parts]
        return {
            spec.name: np.concatenate([np.asarray(one[spec.name], spec.dtype) for one in given])
            for spec in manifest.outputs
            if only in (None, spec.name)
        }

    def close(self) -> None:
        self.__dict__.pop("_model", None)


def _picture(tensor: NDArray[np.uint8], channel_order: str) -> Image.Image:
    """uint8 ``[C, H, W]`` as Core ML takes a picture: in RGB whatever order the package computes in, or grey."""
    ordered = tensor[::-1] if channel_order == "bgr" else tensor
    flat = ordered[0] if len(ordered) == 1 else ordered.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(flat), MODES[len(ordered)])


def _parts(batch: NDArray[np.float32], fixed: int | None) -> list[NDArray[np.float32]]:
    """A batch in parts of sizes that an enumerated input takes: powers of two, the largest 32."""
    if fixed is not None:
        return [batch]
    parts, start = [], 0
    while start < len(batch):
        size = min(32, 1 << (len(batch) - start).bit_length() - 1)
        parts.append(batch[start : start + size])
        start += size
    return parts


def compute_plan(package: Path, compute_units: str) -> dict[str, int]:
    """How many operations Core ML prefers to run on which device: macOS 14 and later.

    Args:
        package: A ``.mlpackage``.
        compute_units: One of `dmformer.graph.coreml.plan.COMPUTE_UNITS`.

    Raises:
        EngineError: Core ML cannot compile or plan it.
    """
    import coremltools as ct

    units = getattr(ct.ComputeUnit, UNITS[compute_units])
    try:
        with scratch_directory() as scratch:
            compiled = str(scratch / "model.mlmodelc")
            ct.models.utils.compile_model(str(package), compiled)
            plan = ct.models.compute_plan.MLComputePlan.load_from_path(compiled, compute_units=units)
            operations = plan.model_structure.program.functions["main"].block.operations
            usages = [plan.get_compute_device_usage_for_mlprogram_operation(operation) for operation in operations]
    except Exception as error:
        raise EngineError(f"{package}: Core ML has no compute plan ({' '.join(str(error).split())[:300]})") from error
    names = [type(usage.preferred_compute_device).__name__ for usage in usages if usage is not None]
    return dict(Counter(names))
