"""The command line of NVIDIA's own builder that makes the same engine, with the flags of the version at hand.

Sources: `samples/common/sampleOptions.cpp` of NVIDIA/TensorRT for 10.x (every flag used here, and that sizes in
``--memPoolSize`` may have a unit; `trtexec --help` of 10.3 says the same); "Migrating trtexec Usage from TensorRT 10.x
to 11.x" in docs.nvidia.com/deeplearning/tensorrt/11.4.1 for 11.x, which has no flags for precision and types strongly;
"Building and Launching the Loadable" for the DLA; the quick start of docs.nvidia.com/deeplearning/tensorrt-rtx for
`tensorrt_rtx`, which takes the flags of `trtexec`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from dmformer.fields import TensorSpec
from dmformer.runtimes.tensorrt.libraries import TYPED_SINCE, Library, parse_version
from dmformer.runtimes.tensorrt.plan import BuildPlan, weakly_typed


def trtexec_command(
    library: Library, version: str, plan: BuildPlan, source: TensorSpec, onnx: str, engine: str
) -> list[str]:
    """The command as its words.

    Args:
        library: Decides the tool.
        version: The library's version on the device, as ``10.3``.
        plan: What is to be built.
        source: The engine's input; what is open of it gets a profile.
        onnx: Path of the typed graph.
        engine: Path of the engine that is written.
    """
    words = [library.tool, f"--onnx={onnx}", f"--saveEngine={engine}", "--noTF32"]
    if library.needs_gpu and parse_version(version) < TYPED_SINCE:
        words.append("--fp16" if weakly_typed(plan, version) else "--stronglyTyped")
    words += [*_profile(plan, source), f"--builderOptimizationLevel={plan.optimization_level}"]
    words.append("--profilingVerbosity=detailed")
    if plan.workspace_gib is not None:
        words.append(f"--memPoolSize=workspace:{round(plan.workspace_gib * 1024)}M")
    if plan.portable:
        words += ["--versionCompatible", "--hardwareCompatibilityLevel=ampere+"]
    if plan.dla_core is not None:
        words += [f"--useDLACore={plan.dla_core}", "--allowGPUFallback"]
    return words


def command_text(words: Iterable[str]) -> str:
    """The command as one line for a shell."""
    return " ".join(shlex.quote(word) for word in words)


def _profile(plan: BuildPlan, source: TensorSpec) -> list[str]:
    if None not in source.shape:
        return []
    names, shapes = ("minShapes", "optShapes", "maxShapes"), plan.profile(source.shape)
    return [f"--{name}={source.name}:{'x'.join(map(str, shape))}" for name, shape in zip(names, shapes, strict=True)]
