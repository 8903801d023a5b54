"""NVIDIA's two libraries as runtimes: one implementation, whose engines a bundle may get on the device only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.runtimes.base import EngineReport, EngineRequest, Runtime, Session, SessionOptions, Watch
from dmformer.runtimes.tensorrt.cuda import cuda_runtime
from dmformer.runtimes.tensorrt.gpu import Gpu, gpus
from dmformer.runtimes.tensorrt.layers import LAYERS_FILE, Description, inspect_engine, summary
from dmformer.runtimes.tensorrt.levels import ALTERNATIVE, graph_roles
from dmformer.runtimes.tensorrt.libraries import TENSORRT, TENSORRT_RTX, Library
from dmformer.runtimes.tensorrt.loading import Loaded, load, missing
from dmformer.runtimes.tensorrt.opening import deserialize
from dmformer.runtimes.tensorrt.plan import PLAN_FILE, BuildPlan, make_plan
from dmformer.runtimes.tensorrt.session import TensorRtSession, choose_gpu
from dmformer.runtimes.tensorrt.stamp import check_stamp, make_stamp, rebuild_command
from dmformer.runtimes.tensorrt.timing_cache import TimingCache, default_cache

if TYPE_CHECKING:
    from dmformer.runtimes.tensorrt.builder import BuiltEngine

GRAPH_FILE, ENGINE_FILE = "model.onnx", "model.engine"
GRAPH, PLAN, LAYERS = "graph", "build", "layers"
"""Roles of files in a bundle: the typed ONNX graph, the build's parameters, the finished engine's description."""
TIMING_CACHE = "timing_cache"
"""Key in `EngineRequest.build` beside the plan: a path of this machine, which is no part of a bundle."""
BESIDE_THE_PLAN = (TIMING_CACHE, ALTERNATIVE)


class TensorRtFamily(Runtime):
    """One of NVIDIA's two libraries as a runtime."""

    library: Library

    def missing(self) -> str | None:
        return missing(self.library)

    def missing_for_export(self) -> str | None:
        """Nothing: where the library is not here, a bundle holds what the device builds its engine from."""
        return None

    def unable_to_build(self) -> str | None:
        """Why the engine cannot be built here; None where it can."""
        return self.missing() or (self.unable_to_run() if self.library.needs_gpu else None)

    def unable_to_run(self) -> str | None:
        return self.missing() or (None if gpus() else "this machine has no NVIDIA GPU that its driver can use")

    def check_bundle(self, bundle: Bundle) -> None:
        if bundle.manifest.file_with_role("engine") is None:
            raise EngineError(f"{bundle.path}: its engine is not built yet", rebuild_command(bundle))
        check_stamp(bundle, self.library, load(self.library).version, choose_gpu("cuda")[1])

    def check_device(self, device: str) -> None:
        """See `Runtime.check_device`; ``cpu``, the default of every command, leaves the choice to the library."""
        if device.lower() == "cpu":
            return
        reason = self.unable_to_run()
        if reason is not None:
            raise UsageError(
                f"--device {device[:40]} names where an engine is tried, and none for {self.target.name} runs here: "
                f"{reason.partition(': ')[0]}",
                "leave --device out: the engine's twin is verified in ONNX Runtime",
            )
        choose_gpu(device)

    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        """Builds with the library. Runs in the child process."""
        from dmformer.runtimes.tensorrt.builder import EngineBuilder

        loaded, plan, directory = load(self.library), plan_of(request), Path(request.directory)
        gpu = next(iter(gpus()), None)
        builder = EngineBuilder(loaded, plan, self._cache(request, loaded.version, gpu), request.precision)
        built = builder.build(Path(request.onnx), watch)
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
        """Opens an engine on a GPU; raises `EngineError` where this machine cannot."""
        return TensorRtSession(load(self.library), bundle, options)


class TensorRt(TensorRtFamily):
    """TensorRT: Jetson and data centre."""

    library = TENSORRT


class TensorRtForRtx(TensorRtFamily):
    """TensorRT for RTX: PCs and workstations; builds ahead of time, without a GPU."""

    library = TENSORRT_RTX


def plan_of(request: EngineRequest) -> BuildPlan:
    """The plan in a request."""
    return make_plan(**{name: value for name, value in request.build.items() if name not in BESIDE_THE_PLAN})
