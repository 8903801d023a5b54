"""The target ``coreml``: built with coremltools, opened in Core ML on a Mac and in the evaluator elsewhere."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.graph.coreml.plan import SIZES_OPTION, PackageRequest, all_sizes, deployment_target, size_names
from dmformer.runtimes.base import EngineReport, EngineRequest, Runtime, Session, SessionOptions, Watch

PACKAGE = "model.mlpackage"
EVALUATOR = ("onnx", "onnxruntime")
"""What runs packages off a Mac."""
INPUT_OPTION, TARGET_OPTION, UNITS_OPTION, INT8_OPTION = "input", "deployment_target", "compute_units", "int8"
MAC = "darwin"


class CoreMlRuntime(Runtime):
    """Core ML packages. A package is a directory: its specification has the role ``engine``."""

    def missing(self) -> str | None:
        """On a Mac, Core ML is reached through coremltools; elsewhere the evaluator needs what `EVALUATOR` names."""
        if sys.platform == MAC:
            return self.missing_for_export()
        absent = next((name for name in EVALUATOR if find_spec(name) is None), None)
        return absent and f"{absent} runs packages off a Mac, and is not installed: {self.target.install}"

    def missing_for_export(self) -> str | None:
        """Why packages cannot be built here, with the install command; None where they can."""
        name = self.target.library
        return None if find_spec(name) is not None else f"{name} is not installed: {self.target.install}"

    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        """Converts the canonical network.

        Args:
            request: ``onnx`` is the safetensors file with the canonical network's weights, which are converted from
                PyTorch; ``build`` is a `PackageRequest`.
            watch: Watches.
        """
        from dmformer.graph.coreml.build import build_package

        package = PackageRequest.model_validate(request.build)
        target, _ = deployment_target(package.plan, request.precision)
        watch("converting", 0.1)
        names = build_package(package, request.precision, target, Path(request.onnx), Path(request.directory) / PACKAGE)
        roles = dict(zip((f"{PACKAGE}/{name}" for name in names), ("package", "engine", "weights"), strict=True))
        options = {
            INPUT_OPTION: "image" if package.plan.image_input else "tensor",
            TARGET_OPTION: target,
            UNITS_OPTION: package.plan.compute_units,
        }
        sizes = all_sizes(package.plan, package.preprocessing)
        if len(sizes) > 1:
            options[SIZES_OPTION] = size_names(sizes)
        if request.precision == "int8":
            options[INT8_OPTION] = package.plan.int8
        return EngineReport(
            roles=roles,
            version=self.version(),
            options=options,
            executes=executes(request.precision, package.plan.int8),
        )

    def preload(self) -> None:
        if sys.platform == MAC:
            from dmformer.runtimes.coreml.device import coremltools

            coremltools()
        else:
            telemetry.onnxruntime()
            import_module("onnx")

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        if sys.platform == MAC:
            from dmformer.runtimes.coreml.device import CoreMlSession

            return CoreMlSession(bundle, options)
        from dmformer.runtimes.coreml.session import EvaluatorSession

        return EvaluatorSession(bundle, options)


def executes(precision: str, int8: str) -> str:
    """What a program computes in, by its own types."""
    if precision == "int8":
        return "float16 with int8 weights" if int8 == "w8a16" else "int8 with float16"
    return {"fp32": "float32", "fp16": "float16"}[precision]
