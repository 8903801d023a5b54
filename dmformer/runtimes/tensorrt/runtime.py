"""The two targets: building where that is possible, packing what a device needs to build where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer import host
from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError, UsageError
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import (
    EngineReport,
    EngineRequest,
    NativeRuntime,
    Session,
    SessionOptions,
    completed,
    require,
)
from dmformer.runtimes.tensorrt.cuda import cuda_runtime
from dmformer.runtimes.tensorrt.gpu import Gpu, gpus
from dmformer.runtimes.tensorrt.layers import LAYERS_FILE, Description, inspect_engine, summary
from dmformer.runtimes.tensorrt.levels import ALTERNATIVE, ALTERNATIVE_FILE, graph_roles, keep_faster
from dmformer.runtimes.tensorrt.libraries import TENSORRT, TENSORRT_RTX, Library, parse_version
from dmformer.runtimes.tensorrt.loading import Loaded, load, missing
from dmformer.runtimes.tensorrt.memory import check_memory
from dmformer.runtimes.tensorrt.opening import deserialize
from dmformer.runtimes.tensorrt.plan import (
    PLAN_FILE,
    BuildPlan,
    check_dla,
    check_gpu,
    check_plan,
    make_plan,
    read_plan,
    weakly_typed,
)
from dmformer.runtimes.tensorrt.stamp import make_stamp, rebuild_command
from dmformer.runtimes.tensorrt.timing_cache import TimingCache, default_cache
from dmformer.runtimes.tensorrt.trtexec import command_text, trtexec_command

if TYPE_CHECKING:
    from dmformer.runtimes.tensorrt.builder import BuiltEngine

GRAPH_FILE, ENGINE_FILE = "model.onnx", "model.engine"
GRAPH, PLAN, LAYERS = "graph", "build", "layers"
"""Roles of files in a bundle: the typed ONNX graph, the build's parameters, the finished engine's description."""
NOT_BUILT = "not built"
TIMING_CACHE = "timing_cache"
"""Key in `EngineRequest.build` beside the plan: a path of this machine, which is no part of a bundle."""
BESIDE_THE_PLAN = (TIMING_CACHE, ALTERNATIVE)


class TensorRtFamily(NativeRuntime):
    """One of NVIDIA's two libraries as a runtime.

    A bundle always holds the typed graph and the build's parameters. It holds the engine too where the library is
    here and, if the library needs one for building, a GPU.
    """

    library: Library
    builds_later = True
    """A bundle can be made without the library, and its engine built on the device."""

    def missing(self) -> str | None:
        return missing(self.library)

    def unable_to_build(self) -> str | None:
        """Why the engine cannot be built here; None where it can."""
        return self.missing() or (self.unable_to_run() if self.library.needs_gpu else None)

    def unable_to_run(self) -> str | None:
        """Why an engine cannot be run here; None where it can."""
        return self.missing() or (None if gpus() else "this machine has no NVIDIA GPU that its driver can use")

    def build(
        self, request: EngineRequest, draft: Manifest, golden: Golden, progress: Progress | None = None
    ) -> Bundle:
        """Makes a bundle: with an engine where one can be built here, to be built on the device elsewhere.

        Args:
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
        check_plan(plan, self.library)
        directory = Path(request.directory)
        if Path(request.onnx) != directory / GRAPH_FILE:
            shutil.copyfile(request.onnx, directory / GRAPH_FILE)
        if ALTERNATIVE in request.build:
            shutil.copyfile(request.build[ALTERNATIVE], directory / ALTERNATIVE_FILE)
        (directory / PLAN_FILE).write_text(plan.to_json(), encoding="utf-8")
        reason = self.unable_to_build()
        if reason:
            return self._pack(request, draft, golden, plan, reason, watch)
        return self._build_here(request, draft, golden, plan, watch)

    def _pack(
        self, request: EngineRequest, draft: Manifest, golden: Golden, plan: BuildPlan, reason: str, watch: Progress
    ) -> Bundle:
        directory = Path(request.directory)
        roles = {**graph_roles(directory, GRAPH_FILE), PLAN_FILE: PLAN}
        report = EngineReport(roles, version=NOT_BUILT, options={}, executes="not built here")
        bundle = assemble(directory, completed(draft, self.name, request, report), golden, report.roles)
        watch.say(f"the engine was not built here: {reason}")
        for line in self.instructions(draft, plan):
            watch.say(line)
        return bundle

    def instructions(self, manifest: Manifest, plan: BuildPlan) -> list[str]:
        """How the engine is built on the device, one line each."""
        lines = ["on the device: dmformer build BUNDLE"]
        for version, name in self.library.command_versions if plan.dla_core is None else self.library.dla_names:
            if plan.dla_core is not None and manifest.precision.requested == "int8" and weakly_typed(plan, version):
                continue
            words = trtexec_command(self.library, version, plan, manifest.input, GRAPH_FILE, ENGINE_FILE)
            lines.append(f"or, with {self.library.title} {name}: {command_text(words)}")
        return lines

    def command_line(self, bundle: Bundle, plan: BuildPlan, version: str) -> str:
        """NVIDIA's own command that builds a bundle's engine, for one version of the library.

        Raises:
            UsageError: The version is none, or the plan does not fit the library.
        """
        if len(parse_version(version)) != version.count(".") + 1:
            raise UsageError(f"{version[:40]!r} is no version", "give one as 10.3")
        check_plan(plan, self.library)
        check_dla(plan, self.library, version, bundle.manifest.precision.requested)
        path = bundle.file(GRAPH)
        return command_text(
            trtexec_command(
                self.library, version, plan, bundle.manifest.input, str(path), str(path.with_name(ENGINE_FILE))
            )
        )

    def _build_here(
        self, request: EngineRequest, draft: Manifest, golden: Golden, plan: BuildPlan, watch: Progress
    ) -> Bundle:
        from dmformer.runtimes.child import build_in_child, time_in_child, try_in_child

        require(self)
        gpu = next(iter(gpus()), None)
        check_memory(plan, Path(request.onnx).stat().st_size, gpu)
        check_gpu(plan, gpu)
        report = build_in_child(self.name, request, watch)
        manifest = completed(draft, self.name, request, report)
        manifest = manifest.model_copy(update={"host": manifest.host.model_copy(update={"gpu": gpu and str(gpu)})})
        bundle = assemble(Path(request.directory), manifest, golden, report.roles)
        if gpu is None:
            return bundle
        try_in_child(bundle)
        if ALTERNATIVE not in request.build or plan.dla_core is not None:
            return bundle

        def build(wanted: EngineRequest, other: Manifest) -> Bundle:
            return self.build(wanted, other, golden, watch)

        return keep_faster(bundle, request, draft, build, time_in_child, watch)

    def build_engine(self, request: EngineRequest) -> EngineReport:
        """Builds with the library. Runs in the child process."""
        from dmformer.runtimes.tensorrt.builder import EngineBuilder

        loaded, plan, directory = load(self.library), plan_of(request), Path(request.directory)
        gpu = next(iter(gpus()), None)
        builder = EngineBuilder(loaded, plan, self._cache(request, loaded.version, gpu), request.precision)
        built = builder.build(Path(request.onnx), self.watch)
        (directory / ENGINE_FILE).write_bytes(built.engine)
        described = built.description if gpu is None else self._inspected(loaded, built, plan)
        (directory / LAYERS_FILE).write_text(described.to_json(), encoding="utf-8")
        roles = {ENGINE_FILE: "engine", **graph_roles(directory, GRAPH_FILE), PLAN_FILE: PLAN, LAYERS_FILE: LAYERS}
        return EngineReport(
            roles=roles,
            version=loaded.version,
            options=make_stamp(plan, gpu),
            executes=summary(described.precisions()),
            not_deterministic=[ENGINE_FILE] if self.library.needs_gpu else [],
        )

    def _inspected(self, loaded: Loaded, built: BuiltEngine, plan: BuildPlan) -> Description:
        """What the inspector says about the engine, which TensorRT's builder does not; else what the builder said."""
        engine, _ = deserialize(loaded, built.engine, plan.portable)
        layers = inspect_engine(loaded.module, engine) if engine is not None else ()
        return Description(layers or built.description.layers, built.description.compute_nodes)

    def _cache(self, request: EngineRequest, version: str, gpu: Gpu | None) -> TimingCache | None:
        if not self.library.has_timing_cache:
            return None
        named = request.build.get(TIMING_CACHE)
        if named:
            return TimingCache(Path(named))
        return default_cache(version, gpu) if gpu else None

    def preload(self) -> None:
        load(self.library)
        cuda_runtime()

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        """Opens an engine on a GPU.

        Raises:
            EngineError: The engine was not built yet, or this machine cannot open it.
        """
        from dmformer.runtimes.tensorrt.session import TensorRtSession

        if bundle.manifest.file_with_role("engine") is None:
            raise EngineError(f"{bundle.path}: its engine is not built yet", rebuild_command(bundle))
        return TensorRtSession(load(self.library), bundle, options)

    def rebuild(
        self,
        bundle: Bundle,
        plan: BuildPlan,
        directory: Path,
        timing_cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Bundle:
        """Builds a bundle's engine on this machine, into another directory; the bundle stays as it is.

        Args:
            bundle: Holds the typed graph.
            plan: What is to be built.
            directory: Empty; becomes the new bundle.
            timing_cache: File; None takes the user's own cache.
            progress: Watches.

        Raises:
            EngineError: The engine cannot be built here, or the library refused it.
            DmformerError: See `build`.
        """
        require(self)
        reason = self.unable_to_build()
        if reason:
            raise EngineError(
                f"{self.library.title} builds for the GPU that it runs on: {reason}", "run this command on the device"
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
        return self.build(request, draft, bundle.golden(), progress)


class TensorRt(TensorRtFamily):
    """TensorRT: Jetson and data centre."""

    name = TENSORRT.target
    library = TENSORRT


class TensorRtForRtx(TensorRtFamily):
    """TensorRT for RTX: PCs and workstations; builds ahead of time, without a GPU."""

    name = TENSORRT_RTX.target
    library = TENSORRT_RTX


def family_of(target: str) -> TensorRtFamily:
    """The runtime of a bundle that can be built.

    Raises:
        UsageError: Bundles of this target are finished when they are exported.
    """
    found: dict[str, type[TensorRtFamily]] = {kind.name: kind for kind in (TensorRt, TensorRtForRtx)}
    if target not in found:
        raise UsageError(f"a bundle for {target} has nothing to build", f"this command is for: {', '.join(found)}")
    return found[target]()


def plan_of(request: EngineRequest) -> BuildPlan:
    """The plan in a request."""
    return make_plan(**{name: value for name, value in request.build.items() if name not in BESIDE_THE_PLAN})


def plan_in(bundle: Bundle) -> BuildPlan:
    """The plan in a bundle.

    Raises:
        BundleError: It is missing or damaged.
    """
    return read_plan(bundle.file(PLAN))
