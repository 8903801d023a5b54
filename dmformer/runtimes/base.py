"""What every runtime is to the rest of dmformer: `Runtime` and `Session`, and the data that pass between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle, assemble
from dmformer.errors import MissingBackendError, UsageError
from dmformer.golden import Golden
from dmformer.manifest import Manifest, RuntimeRecord

Array = NDArray[np.generic]
MAKERS = {"float32": "dmformer.preprocessing.preprocess_batch", "uint8": "dmformer.preprocessing.fit_batch"}
"""What makes an engine's input, by its dtype."""


@dataclass(frozen=True)
class SessionOptions:
    """How to open an engine.

    Attributes:
        threads: Threads inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device, as ``"cpu"``.
        streams: Threads of the caller that may be inside `Session.run` at the same time, each with its own
            inference.
        cuda_graph: Replay the computation as one recorded CUDA graph, where the runtime is NVIDIA's.
    """

    threads: int = 0
    device: str = "cpu"
    streams: int = 1
    cuda_graph: bool = False


@dataclass(frozen=True)
class Execution:
    """What a session really runs on, as the runtime itself reports it."""

    provider: str
    precision: str


class Session(ABC):
    """An opened engine. A context manager; closed sessions must not be run.

    Attributes:
        execution: What it runs on.
        images_at_once: How many images are best run together where the engine's own batch does not bind this session;
            None where it does.
        repeatable: Whether it gives on every machine what it gave where the engine was built, up to the order of sums.
    """

    execution: Execution
    images_at_once: int | None = None
    repeatable: bool = False

    @abstractmethod
    def run(self, batch: NDArray[Any]) -> dict[str, Array]:
        """Runs one batch.

        Args:
            batch: float32 ``[N, C, H, W]``, preprocessed, C-contiguous; where the manifest's input is uint8, pixels
                ``[N, H, W, C]`` of the engine's size (`dmformer.engine_input` gives the right one).

        Returns:
            Arrays by output name. The caller owns them: no buffer is used again.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the engine."""

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class EngineRequest:
    """What a runtime needs to build an engine. Crosses a process boundary as JSON.

    Attributes:
        onnx: The ONNX file that the engine is built from; its precision is a property of its graph.
        directory: Where the engine's files go.
        precision: What was asked for: ``fp32``, ``fp16`` or ``int8``.
        stored: The dtype of the weights in the graph.
        build: What else a runtime's build knows, as the runtime's own strict model dumps it.
    """

    onnx: str
    directory: str
    precision: str
    stored: str
    build: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class EngineReport:
    """What building an engine gave. Crosses a process boundary as JSON.

    Attributes:
        roles: The role of each file by its path relative to the request's directory; one is ``engine``.
        version: The runtime's version.
        options: What the engine must be opened with.
        executes: The precision that really executes here.
        not_deterministic: What in the files may differ between two builds.
    """

    roles: dict[str, str]
    version: str
    options: dict[str, str]
    executes: str
    not_deterministic: list[str] = field(default_factory=list)


class Runtime(Protocol):
    """One runtime. `dmformer.runtimes.registry` makes them by name, importing on use."""

    name: str

    def missing(self) -> str | None:
        """Why the runtime cannot be used here, with the exact install command; None where it can."""

    def build(self, request: EngineRequest, draft: Manifest, golden: Golden) -> Bundle:
        """Builds an engine and assembles the bundle around it, in ``request.directory``."""

    def preload(self) -> None:
        """Imports what opening an engine would import, so that the two can be timed apart."""

    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        """Opens the engine of a bundle."""


def _unwatched(step: str, done: float) -> None:
    pass


class NativeRuntime(ABC):
    """Base of runtimes whose native library may crash: builds and first tries an engine in a child process.

    Attributes:
        watch: Told by `build_engine` what it does and how much of it is done, 0 to 1; the child process sets it.
    """

    name: str
    watch: Callable[[str, float], None] = staticmethod(_unwatched)

    @abstractmethod
    def missing(self) -> str | None: ...

    @abstractmethod
    def build_engine(self, request: EngineRequest) -> EngineReport:
        """Builds the engine's files. Runs in the child process."""

    @abstractmethod
    def preload(self) -> None: ...

    @abstractmethod
    def open(self, bundle: Bundle, options: SessionOptions) -> Session: ...

    def build(self, request: EngineRequest, draft: Manifest, golden: Golden) -> Bundle:
        """Builds in a child process, assembles the bundle, and tries it on one golden sample in another.

        Raises:
            MissingBackendError: The runtime is not installed.
            EngineCrashError: The native library ended its process, at the step that the message names.
            EngineError: The runtime refused the graph.
        """
        from dmformer.runtimes.child import build_in_child, try_in_child

        require(self)
        report = build_in_child(self.name, request)
        bundle = assemble(Path(request.directory), completed(draft, self.name, request, report), golden, report.roles)
        try_in_child(bundle)
        return bundle


def completed(draft: Manifest, name: str, request: EngineRequest, report: EngineReport) -> Manifest:
    """The manifest with what only the finished build knows."""
    precision = draft.precision.model_copy(update={"stored": request.stored, "executes": report.executes})
    runtime = RuntimeRecord(name=name, version=report.version, options=report.options)
    return draft.model_copy(
        update={"precision": precision, "runtime": runtime, "not_deterministic": tuple(report.not_deterministic)}
    )


def require(runtime: Runtime | NativeRuntime) -> None:
    """Raises `MissingBackendError` with the install command where the runtime is not here."""
    reason = runtime.missing()
    if reason:
        message, _, command = reason.partition(": ")
        raise MissingBackendError(message, command or None)


def only_cpu(options: SessionOptions, runtime: str) -> None:
    """Raises `UsageError` for a device that a CPU runtime has not got."""
    if options.device.lower() != "cpu":
        raise UsageError(f"{runtime} runs on the CPU here, not on {options.device!r}", "use --device cpu")


def check_batch(batch: NDArray[Any], shape: tuple[int | None, ...], dtype: str = "float32") -> None:
    """Raises `UsageError` where a batch does not fit the engine's input."""
    fits = batch.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, batch.shape, strict=True))
    fits = fits and batch.size > 0
    if not fits or batch.dtype != dtype:
        wanted = "x".join("N" if n is None else str(n) for n in shape)
        found = "x".join(map(str, batch.shape))
        raise UsageError(
            f"the engine takes {dtype} {wanted}, not {batch.dtype} {found}",
            f"{MAKERS[dtype]} makes it, and --dynamic an engine for other batch sizes",
        )


def short_reason(error: Exception) -> str:
    """What a third party's exception says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
