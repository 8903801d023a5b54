"""Bundles for NVIDIA's libraries: with an engine where one can be built, with what the device needs where it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

from dmformer import host
from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError, UsageError
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import EngineReport, EngineRequest, completed, require
from dmformer.runtimes.child import build_in_child, time_in_child, try_in_child
from dmformer.runtimes.registry import get_runtime
from dmformer.runtimes.tensorrt.gpu import gpus
from dmformer.runtimes.tensorrt.levels import ALTERNATIVE, ALTERNATIVE_FILE, graph_roles, keep_faster
from dmformer.runtimes.tensorrt.libraries import parse_version
from dmformer.runtimes.tensorrt.memory import check_memory
from dmformer.runtimes.tensorrt.plan import (
    PLAN_FILE,
    BuildPlan,
    check_dla,
    check_gpu,
    check_plan,
    read_plan,
    weakly_typed,
)
from dmformer.runtimes.tensorrt.runtime import (
    ENGINE_FILE,
    GRAPH,
    GRAPH_FILE,
    PLAN,
    TIMING_CACHE,
    TensorRtFamily,
    plan_of,
)
from dmformer.runtimes.tensorrt.trtexec import command_text, trtexec_command
from dmformer.targets import TARGETS

NOT_BUILT = "not built"


def make_bundle(
    family: TensorRtFamily, request: EngineRequest, draft: Manifest, golden: Golden, progress: Progress | None = None
) -> Bundle:
    """Makes a bundle: with an engine where one can be built here, to be built on the device elsewhere.

    Args:
        family: The library.
        request: Its ``build`` holds a `BuildPlan`, and may hold the paths of a timing cache and of an alternative
            graph, see `dmformer.runtimes.tensorrt.levels`.
        draft: The manifest so far.
        golden: The golden samples.
        progress: Told what could not be done here, and how to do it on the device.

    Raises:
        EngineCrashError: The library ended its process.
        EngineError: The library refused the graph.
        UsageError: The plan does not fit the library or the machine.
    """
    watch = progress or Silent()
    plan = plan_of(request)
    check_plan(plan, family.library)
    directory = Path(request.directory)
    if Path(request.onnx) != directory / GRAPH_FILE:
        shutil.copyfile(request.onnx, directory / GRAPH_FILE)
    if ALTERNATIVE in request.build:
        shutil.copyfile(request.build[ALTERNATIVE], directory / ALTERNATIVE_FILE)
    (directory / PLAN_FILE).write_text(plan.to_json(), encoding="utf-8")
    reason = family.unable_to_build()
    if reason:
        return _pack(family, request, draft, golden, plan, reason, watch)
    return _build_here(family, request, draft, golden, plan, watch)


def _pack(
    family: TensorRtFamily,
    request: EngineRequest,
    draft: Manifest,
    golden: Golden,
    plan: BuildPlan,
    reason: str,
    watch: Progress,
) -> Bundle:
    directory = Path(request.directory)
    roles = {**graph_roles(directory, GRAPH_FILE), PLAN_FILE: PLAN}
    report = EngineReport(roles, version=NOT_BUILT, options={}, executes="not built here")
    bundle = assemble(directory, completed(draft, request, report), golden, report.roles)
    watch.say(f"the engine was not built here: {reason}")
    for line in instructions(family, draft, plan):
        watch.say(line)
    return bundle


def instructions(family: TensorRtFamily, manifest: Manifest, plan: BuildPlan) -> list[str]:
    """How the engine is built on the device, one line each."""
    lines = ["on the device: dmformer build BUNDLE"]
    for version, name in family.library.command_versions if plan.dla_core is None else family.library.dla_names:
        if plan.dla_core is not None and manifest.precision.requested == "int8" and weakly_typed(plan, version):
            continue
        words = trtexec_command(family.library, version, plan, manifest.input, GRAPH_FILE, ENGINE_FILE)
        lines.append(f"or, with {family.library.title} {name}: {command_text(words)}")
    return lines


def command_line(family: TensorRtFamily, bundle: Bundle, plan: BuildPlan, version: str) -> str:
    """NVIDIA's own command that builds a bundle's engine, for one version of the library.

    Raises:
        UsageError: The version is none, or the plan does not fit the library.
    """
    if len(parse_version(version)) != version.count(".") + 1:
        raise UsageError(f"{version[:40]!r} is no version", "give one as 10.3")
    check_plan(plan, family.library)
    check_dla(plan, family.library, version, bundle.manifest.precision.requested)
    path = bundle.file(GRAPH)
    return command_text(
        trtexec_command(
            family.library, version, plan, bundle.manifest.input, str(path), str(path.with_name(ENGINE_FILE))
        )
    )


def _build_here(
    family: TensorRtFamily, request: EngineRequest, draft: Manifest, golden: Golden, plan: BuildPlan, watch: Progress
) -> Bundle:
    require(family.missing())
    gpu = next(iter(gpus()), None)
    check_memory(plan, Path(request.onnx).stat().st_size, gpu)
    check_gpu(plan, gpu)
    report = build_in_child(family.target.name, request, watch)
    manifest = completed(draft, request, report)
    manifest = manifest.model_copy(update={"host": manifest.host.model_copy(update={"gpu": gpu and str(gpu)})})
    bundle = assemble(Path(request.directory), manifest, golden, report.roles)
    if gpu is None:
        return bundle
    try_in_child(bundle)
    if ALTERNATIVE not in request.build or plan.dla_core is not None:
        return bundle

    def build(wanted: EngineRequest, other: Manifest) -> Bundle:
        return make_bundle(family, wanted, other, golden, watch)

    return keep_faster(bundle, request, draft, build, time_in_child, watch)


def rebuild(
    family: TensorRtFamily,
    bundle: Bundle,
    plan: BuildPlan,
    directory: Path,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Builds a bundle's engine on this machine, into another directory; the bundle stays as it is.

    Args:
        family: The library.
        bundle: Holds the typed graph.
        plan: What is to be built.
        directory: Empty; becomes the new bundle.
        timing_cache: File; None takes the user's own cache.
        progress: Watches.

    Raises:
        EngineError: The engine cannot be built here, or the library refused it.
        DmformerError: See `make_bundle`.
    """
    require(family.missing())
    reason = family.unable_to_build()
    if reason:
        raise EngineError(
            f"{family.library.title} builds for the GPU that it runs on: {reason}", "run this command on the device"
        )
    old = bundle.manifest
    build = plan.model_dump(mode="json", by_alias=True)
    if timing_cache is not None:
        build[TIMING_CACHE] = str(timing_cache)
    if old.file_with_role(ALTERNATIVE) is not None:
        build[ALTERNATIVE] = str(bundle.file(ALTERNATIVE))
    request = EngineRequest(
        str(bundle.file(GRAPH)), str(directory), old.precision.requested, old.precision.stored, build
    )
    draft = old.model_copy(update={"host": host.host_record(), "proof": None, "latency": None})
    return make_bundle(family, request, draft, bundle.golden(), progress)


def tensorrt_family(target: str) -> TensorRtFamily:
    """The runtime of a bundle that can be built.

    Raises:
        UsageError: Bundles of this target are finished when they are exported.
    """
    runtime = get_runtime(target)
    if not isinstance(runtime, TensorRtFamily):
        able = ", ".join(row.name for row in TARGETS.values() if row.builds_later)
        raise UsageError(f"a bundle for {target} has nothing to build", f"this command is for: {able}")
    return runtime


def plan_in(bundle: Bundle) -> BuildPlan:
    """The plan in a bundle.

    Raises:
        BundleError: It is missing or damaged.
    """
    return read_plan(bundle.file(PLAN))
