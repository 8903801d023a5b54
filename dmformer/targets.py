"""What a target is, is said here and nowhere else: one row for each.

All that other rooms must know of a target before they use it stands in its row; what is heavy is named as
``module:attribute`` and imported on use (`load`), so that this table costs nothing and needs no library. A new target
is one file with its `Runtime` and one row: see ``docs/new-target.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from dmformer.errors import UsageError

DEFAULT = "onnxruntime"
"""The target where none is named."""
STEM = ("stem.conv1", "stem.conv2", "stem.conv3")


@dataclass(frozen=True)
class Target:
    """One target. Crosses a process boundary as JSON.

    Attributes:
        name: What the user names after ``--target``.
        title: What executes it, for people.
        runtime: Its `dmformer.runtimes.base.Runtime`.
        library: The Python package that opens its engines.
        install: The command that installs the library.
        packages: Distributions that may hold the library: their versions go into manifests and documents.
        maker: The `dmformer.pipeline.maker.Maker` of its bundles.
        inspector: Its `dmformer.runtimes.inspection.base.Inspector`; None where it cannot be looked into.
        profiler: Who told the times of layers; empty stands for a profiler of its name.
        describe: A function from a bundle to what ``inspect`` tells of it beside its manifest.
        emitter: The function that writes Q/DQ by its rules; None where there is no INT8 for it.
        finish: A function that is applied to a finished graph with Q/DQ.
        follows_isa: Whether its integers are chosen for an instruction set: the emitter takes a scheme of them.
        float_kinds: Kinds of layer groups, or patterns of them, that stay float by default; see
            `dmformer.calibration.plan.default_plan`.
        gelu_factors: Where its INT8 has products at GELUs whose channels differ (`dmformer.calibration.factors`):
            behind them, or around them where results of layers are rounded too; empty where it has none.
        integers_of_cpu: Whether its 8-bit products are those of the CPU.
        natural: The precision where none is asked for.
        trial: A function that opens a graph without making a bundle of it, for searches and verdicts:
            `dmformer.runtimes.base.OpenGraph`.
        tried_in: What ``trial`` runs it in, for people.
        tries_half: Whether that has a half precision of its own.
        builds_later: Whether a bundle can be made without the library, and its engine built on the device.
        panel: The panel of the help with options that only such targets read; None where there are none.
        options: What a manifest may have an engine opened with, and a pattern that the whole of each value fits. They
            reach native libraries, here and in embedded projects, and some of those write files (``CACHE_DIR``).
        class_map: The function that lets a graph decide at every pixel in the form that it runs fast, see
            `dmformer.graph.class_map`; None where the engine is not made from the ONNX graph.
        bytes_out: Whether its engines give bytes; else their maps of classes are int32.
        embedded_as: The target whose sources run its engines in an embedded project; empty stands for its own.
        extra: The extra of dmformer that brings its library to a device, without torch; empty where none does.
        from_system: The package of its library that a device's own system may bring instead, as JetPack does.
        passes_options: Whether they are given to the library as they stand; else they are notes of the build.
    """

    name: str
    title: str
    runtime: str
    library: str
    install: str
    packages: tuple[str, ...] = ()
    maker: str = "dmformer.pipeline.engines:EngineMaker"
    inspector: str | None = None
    profiler: str = ""
    describe: str | None = None
    emitter: str | None = None
    finish: str | None = None
    follows_isa: bool = False
    float_kinds: tuple[str, ...] = ()
    gelu_factors: Literal["", "behind", "around"] = ""
    integers_of_cpu: bool = False
    natural: Literal["fp32", "fp16"] = "fp32"
    trial: str = "dmformer.runtimes.onnx_runtime:open_graph"
    tried_in: str = "ONNX Runtime on the CPU"
    tries_half: bool = False
    builds_later: bool = False
    panel: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    passes_options: bool = False
    class_map: str | None = None
    bytes_out: bool = True
    embedded_as: str = ""
    extra: str = ""
    from_system: str = ""

    @property
    def versioned(self) -> tuple[str, ...]:
        """The distributions that its library may come in."""
        return self.packages or (self.library,)


def get_target(name: str) -> Target:
    """The row of a target.

    Raises:
        UsageError: There is no such target.
    """
    if name not in TARGETS:
        raise UsageError(f"there is no target {name[:40]!r}", f"choose from: {', '.join(TARGETS)}, all")
    return TARGETS[name]


def load(where: str) -> Any:
    """What a row names as ``module:attribute``."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def check_options(target: str, options: Mapping[str, str]) -> None:
    """Raises `ValueError` for an option, or a value of one, that no build of a target writes."""
    allowed = TARGETS[target].options if target in TARGETS else {}
    for name, value in options.items():
        if name not in allowed:
            raise ValueError(f"the runtime option {name[:40]!r} is none that {target[:40]} engines are opened with")
        if not re.fullmatch(allowed[name], value, flags=re.ASCII):
            raise ValueError(f"the runtime option {name} cannot be {value[:40]!r}")


def packages() -> tuple[str, ...]:
    """The distributions of all targets' libraries."""
    return tuple(dict.fromkeys(name for target in TARGETS.values() for name in target.versioned))


INSPECTION = "dmformer.runtimes.inspection"
QDQ = "dmformer.graph.qdq"
SIZES = r"\d{1,5}x\d{1,5}"
NVIDIA: dict[str, Any] = {
    "maker": "dmformer.pipeline.tensorrt_export:TensorRtMaker",
    "inspector": f"{INSPECTION}.tensorrt:TensorRtInspector",
    "emitter": f"{QDQ}.tensorrt:emit_tensorrt",
    "class_map": "dmformer.graph.class_map:arg_max",
    "float_kinds": (
        *(*STEM, "dma.gate", "dma.levels.*"),
        # Nothing is quantized there: only inputs of layers with weights, and skip inputs, get a pair.
        *("dma.sum", "dma.mul", "ffn.gelu"),
    ),
    "builds_later": True,
    "panel": "NVIDIA",
    "options": {
        "system": r"[\w. -]{1,80}",
        "portable": "true|false",
        "compute_capability": r"\d{1,3}\.\d{1,3}",
        "driver": r"[\w. -]{1,40}",
        "built_for": r"[\w.+-]{1,20}(, [\w.+-]{1,20}){0,31}",
        "depthwise_levels": r"[\w ,.()]{1,200}",
    },
}
"""What TensorRT and TensorRT for RTX share."""
ONNX_RUNTIME: dict[str, Any] = {
    "title": "ONNX Runtime",
    "runtime": "dmformer.runtimes.onnx_runtime:OnnxRuntime",
    "library": "onnxruntime",
    "install": "pip install 'dmformer[onnxruntime]'",
    "packages": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "inspector": f"{INSPECTION}.onnx_runtime:OnnxRuntimeInspector",
    "profiler": "ONNX Runtime profile",
    "emitter": f"{QDQ}.onnxruntime:emit_onnxruntime",
    "finish": f"{QDQ}.channels_last:keep_channels_last",
    "class_map": "dmformer.graph.class_map:channels_last",
    "follows_isa": True,
    "float_kinds": ("stem.conv1", "dma.gate", "dma.mul", "residual", "head.sum"),
    "gelu_factors": "around",
    "integers_of_cpu": True,
    "extra": "onnxruntime",
}
ROWS = (
    Target(name="onnx", embedded_as="onnxruntime", **ONNX_RUNTIME),
    Target(name="onnxruntime", **ONNX_RUNTIME),
    Target(
        name="openvino",
        title="OpenVINO",
        runtime="dmformer.runtimes.openvino:OpenVinoRuntime",
        library="openvino",
        install="pip install 'dmformer[openvino]'",
        inspector=f"{INSPECTION}.openvino:OpenVinoInspector",
        profiler="OpenVINO performance counters",
        emitter=f"{QDQ}.openvino:emit_openvino",
        follows_isa=True,
        float_kinds=("stem.conv1", "dma.gate"),
        gelu_factors="behind",
        integers_of_cpu=True,
        trial="dmformer.runtimes.openvino:open_graph",
        tried_in="OpenVINO",
        tries_half=True,
        class_map="dmformer.graph.class_map:maximum",
        extra="openvino",
        options={"INFERENCE_PRECISION_HINT": "f32|bf16|f16"},
        passes_options=True,
    ),
    Target(
        name="ncnn",
        title="ncnn",
        runtime="dmformer.runtimes.ncnn.runtime:Ncnn",
        library="ncnn",
        install="pip install 'dmformer[ncnn]'",
        maker="dmformer.pipeline.ncnn_export:NcnnMaker",
        inspector=f"{INSPECTION}.ncnn:NcnnInspector",
        profiler="ncnn's layers, one after the other",
        emitter=f"{QDQ}.coreml:emit_coreml",
        # Dilated depthwise convolutions have no fast kernel in integers.
        float_kinds=(*STEM, "dma.gate", "dma.levels.*"),
        trial="dmformer.runtimes.ncnn.runtime:open_graph",
        tried_in="ncnn",
        class_map="dmformer.graph.class_map:arg_max",
        extra="ncnn",
        options=dict.fromkeys(("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"), "true|false"),
        passes_options=True,
    ),
    Target(
        name="tensorrt",
        title="TensorRT",
        runtime="dmformer.runtimes.tensorrt.runtime:TensorRt",
        library="tensorrt",
        install="pip install tensorrt (on a Jetson: sudo apt install python3-libnvinfer)",
        profiler="TensorRT profiler",
        extra="tensorrt",
        from_system="tensorrt",
        **NVIDIA,
    ),
    Target(
        name="tensorrt-rtx",
        title="TensorRT for RTX",
        runtime="dmformer.runtimes.tensorrt.runtime:TensorRtForRtx",
        library="tensorrt_rtx",
        install="pip install 'dmformer[tensorrt-rtx]'",
        packages=("tensorrt-rtx", "tensorrt-rtx-cu13-bindings"),
        profiler="TensorRT for RTX profiler",
        natural="fp16",
        **NVIDIA,
    ),
    Target(
        name="coreml",
        title="Core ML",
        runtime="dmformer.runtimes.coreml.runtime:CoreMlRuntime",
        library="coremltools",
        install="pip install 'dmformer[export,coreml]'",
        maker="dmformer.pipeline.coreml_export:CoreMlMaker",
        describe="dmformer.runtimes.coreml.neural_engine:describe",
        emitter=f"{QDQ}.coreml:emit_coreml",
        float_kinds=(*STEM, "dma.gate"),
        natural="fp16",
        panel="Core ML",
        bytes_out=False,
        options={
            "input": "image|tensor",
            "deployment_target": r"iOS\d{2}",
            "compute_units": "all|cpu|cpu-and-gpu|cpu-and-ne",
            "sizes": f"{SIZES}(,{SIZES}){{0,127}}",
            "int8": "w8a8|w8a16",
        },
    ),
)
TARGETS: dict[str, Target] = {row.name: row for row in ROWS}
"""The targets by name, in the order in which they are listed."""
