"""From a typed ONNX file to a serialized engine. Runs in the child process: the library may crash.

Networks are strongly typed (from TensorRT 11 on there are no others): no flag of the builder changes a precision.
TF32 is off, so that float32 means float32. The one exception is a DLA with TensorRT 10, whose examples in NVIDIA's
"Building and Launching the Loadable" ask for float16 by the builder's flag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dmformer.errors import EngineError, UsageError
from dmformer.runtimes.tensorrt.layers import Description, read_layers
from dmformer.runtimes.tensorrt.loading import Loaded
from dmformer.runtimes.tensorrt.plan import GIB, BuildPlan, check_dla, check_plan, weakly_typed
from dmformer.runtimes.tensorrt.timing_cache import TimingCache
from dmformer.runtimes.tensorrt.watching import Log, Phases, make_log, make_monitor

if TYPE_CHECKING:
    import tensorrt as trt

Watch = Callable[[str, float], None]


@dataclass(frozen=True)
class BuiltEngine:
    """A finished engine.

    Attributes:
        engine: The plain serialized engine, as every application of the library loads it.
        description: The builder's own; without layers where the library logs none (TensorRT).
    """

    engine: bytes
    description: Description


class EngineBuilder:
    """One build.

    Args:
        loaded: The library.
        plan: What is wanted.
        cache: Timing cache; ignored by a library that has none.
        precision: Of the graph: ``fp32``, ``fp16`` or ``int8``.

    Raises:
        UsageError: The plan does not fit the library, or its version.
    """

    def __init__(
        self, loaded: Loaded, plan: BuildPlan, cache: TimingCache | None = None, precision: str = "fp16"
    ) -> None:
        check_plan(plan, loaded.library)
        check_dla(plan, loaded.library, loaded.version, precision)
        self._loaded, self._plan, self._cache = loaded, plan, cache
        self._trt = loaded.module
        self._log: Log = make_log(loaded.module)
        self._builder: trt.Builder = self._trt.Builder(self._log.logger)

    def build(self, onnx: Path, watch: Watch) -> BuiltEngine:
        """Parses and builds.

        Args:
            onnx: The typed graph.
            watch: Told the phase and the share that is done.

        Raises:
            EngineError: The parser refused the graph, or the builder failed; the message names the node.
            UsageError: The plan does not fit the library.
        """
        network = self._parse(onnx)
        config = self._configure(network)
        monitor = make_monitor(self._trt, Phases(watch))
        config.progress_monitor = monitor
        memory = self._builder.build_serialized_network(network, config)
        if memory is None:
            builder = f"{self._loaded.library.title} {self._loaded.version}"
            raise EngineError(
                f"{builder} could not build {onnx.name}: {self._log.complaint()}",
                "export with another precision, or give the builder more memory by --workspace",
            )
        self._keep_timings(config)
        described = Description(read_layers(self._log.layers), _compute_nodes(self._trt, network))
        return BuiltEngine(bytes(memory), described)

    def _parse(self, onnx: Path) -> trt.INetworkDefinition:
        typed = getattr(self._trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        if weakly_typed(self._plan, self._loaded.version):
            typed = None
        network: trt.INetworkDefinition = self._builder.create_network(0 if typed is None else 1 << int(typed))
        parser: trt.OnnxParser = self._trt.OnnxParser(network, self._log.logger)
        if not parser.parse_from_file(str(onnx)) or network.num_outputs == 0:
            raise EngineError(
                f"{onnx.name}: {self._loaded.library.title}'s parser refuses it: {_parser_complaint(parser)}",
                "export it again with this version of dmformer, or with another --opset",
            )
        return network

    def _configure(self, network: trt.INetworkDefinition) -> trt.IBuilderConfig:
        config: trt.IBuilderConfig = self._builder.create_builder_config()
        config.profiling_verbosity = self._trt.ProfilingVerbosity.DETAILED
        config.builder_optimization_level = self._plan.optimization_level
        config.clear_flag(self._trt.BuilderFlag.TF32)
        if self._plan.workspace_gib is not None:
            limit = int(self._plan.workspace_gib * GIB)
            config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, limit)
        self._add_profile(config, network)
        self._make_portable(config)
        self._choose_gpus(config)
        self._use_dla(config)
        if self._cache is not None and self._loaded.library.has_timing_cache:
            config.set_timing_cache(config.create_timing_cache(self._cache.read()), ignore_mismatch=False)
        return config

    def _add_profile(self, config: trt.IBuilderConfig, network: trt.INetworkDefinition) -> None:
        source = network.get_input(0)
        shape: tuple[int, ...] = tuple(cast(Any, source.shape))
        if -1 not in shape:
            return
        profile: trt.IOptimizationProfile = self._builder.create_optimization_profile()
        wanted = self._plan.profile(shape)
        profile.set_shape(source.name, *map(self._trt.Dims, wanted))
        if config.add_optimization_profile(profile) < 0:
            raise UsageError(f"the profile {wanted} does not fit the input {shape}", "export it again")

    def _make_portable(self, config: trt.IBuilderConfig) -> None:
        if self._plan.portable:
            config.set_flag(self._trt.BuilderFlag.VERSION_COMPATIBLE)
            config.hardware_compatibility_level = self._trt.HardwareCompatibilityLevel.AMPERE_PLUS

    def _choose_gpus(self, config: Any) -> None:
        # Only TensorRT for RTX has these two, so the types of `tensorrt` do not know them.
        if not self._plan.compute_capabilities:
            return
        config.num_compute_capabilities = len(self._plan.compute_capabilities)
        for index, capability in enumerate(self._plan.compute_capabilities):
            member = getattr(self._trt.ComputeCapability, f"SM{capability.replace('.', '')}")
            config.set_compute_capability(member, index)

    def _use_dla(self, config: trt.IBuilderConfig) -> None:
        if self._plan.dla_core is None:
            return
        cores = self._builder.num_DLA_cores
        if self._plan.dla_core >= cores:
            raise UsageError(f"there is no DLA core {self._plan.dla_core}: this machine has {cores}", "leave --dla out")
        config.default_device_type = self._trt.DeviceType.DLA
        config.DLA_core = self._plan.dla_core
        config.set_flag(self._trt.BuilderFlag.GPU_FALLBACK)
        if weakly_typed(self._plan, self._loaded.version):
            config.set_flag(self._trt.BuilderFlag.FP16)

    def _keep_timings(self, config: trt.IBuilderConfig) -> None:
        if self._cache is None or not self._loaded.library.has_timing_cache:
            return
        timings = config.get_timing_cache()
        if timings is not None:
            self._cache.write(bytes(timings.serialize()))


def _parser_complaint(parser: trt.OnnxParser) -> str:
    """The parser's first error with the node that it is about."""
    if not parser.num_errors:
        return "it finds no output; is it an ONNX file?"
    error = parser.get_error(0)
    name, operator = error.node_name(), error.node_operator()
    reason = " ".join(error.desc().split())[:200]
    place = f"node {name!r} ({operator}), " if operator else ""
    code = str(error.code()).rpartition(".")[2].replace("_", " ").lower()
    return f"{place}{code}" + (f" ({reason})" if reason not in ("", "false") else "")


def _compute_nodes(module: Any, network: trt.INetworkDefinition) -> tuple[str, ...]:
    kinds = (module.LayerType.CONVOLUTION, module.LayerType.MATRIX_MULTIPLY)
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return tuple(layer.name for layer in layers if layer.type in kinds)
