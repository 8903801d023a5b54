"""What every runtime is to the rest of dmformer: `Runtime` and `Session`, and the data that pass between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import MissingBackendError, UsageError
from dmformer.geometry import TOTAL_STRIDE
from dmformer.host import package_version
from dmformer.manifest import Manifest
from dmformer.model.config import check_size
from dmformer.records import RuntimeRecord
from dmformer.targets import Target

Array = NDArray[np.generic]
Watch = Callable[[str, float], None]
Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From a batch to outputs, those of several joined (`dmformer.tasks.base.joined`)."""
OpenGraph = Callable[[bytes, bool], Call]
"""Opens an ONNX graph for a trial; whether it must be computed in full precision."""
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
    """

    threads: int = 0
    device: str = "cpu"
    streams: int = 1


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
    def run(self, batch: NDArray[Any], only: str | None = None) -> dict[str, Array]:
        """Runs one batch.

        Args:
            batch: float32 ``[N, C, H, W]``, preprocessed, C-contiguous; where the manifest's input is uint8, pixels
                ``[N, H, W, C]`` of the engine's size (`dmformer.engine_input` gives the right one).
            only: The one output that is wanted; the others are not copied then. None gives all.

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


class Runtime(ABC):
    """One runtime: a target's row names it, and `dmformer.runtimes.registry` makes it, importing on use.

    Its native library may crash: whoever builds or first tries an engine does so in a child process.

    Args:
        target: The row of the target.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def missing(self) -> str | None:
        """Why the runtime cannot be used here, with the exact install command; None where it can."""
        if find_spec(self.target.library) is None:
            return f"{self.target.title} is not installed: {self.target.install}"
        return None

    def missing_for_export(self) -> str | None:
        """Why no bundle can be made here, as `missing`."""
        return self.missing()

    def unable_to_run(self) -> str | None:
        """Why no engine can be run here, as `missing`."""
        return self.missing()

    def check_bundle(self, bundle: Bundle) -> None:
        """Raises `EngineError` for a bundle whose engine the library, which is here, would not open; opens nothing."""
        return

    def check_device(self, device: str) -> None:
        """Raises `UsageError` for a device that no engine can be tried on here."""
        only_cpu(SessionOptions(device=device), self.target.name)

    @abstractmethod
    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        """Builds the engine's files. Runs in a child process.

        Args:
            request: What to build.
            watch: Told what is done and how much of it, 0 to 1.
        """

    def preload(self) -> None:
        """Imports what opening an engine would import, so that the two can be timed apart."""
        import_module(self.target.library)

    @abstractmethod
    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        """Opens the engine of a bundle."""

    def version(self) -> str:
        """That of its library."""
        return next(iter(filter(None, map(package_version, self.target.versioned))), "unknown")


def completed(draft: Manifest, request: EngineRequest, report: EngineReport) -> Manifest:
    """The manifest with what only the finished build knows."""
    precision = draft.precision.model_copy(update={"stored": request.stored, "executes": report.executes})
    runtime = RuntimeRecord(name=draft.target, version=report.version, options=report.options)
    return draft.model_copy(
        update={"precision": precision, "runtime": runtime, "not_deterministic": tuple(report.not_deterministic)}
    )


def with_integers(integers: int, total: int, floating: str, most: str) -> str:
    """What an INT8 engine computes in: ``most`` where at least half of its convolutions are seen in integers.

    Args:
        integers: Convolutions that the runtime computes in integers.
        total: All of them.
        floating: What the others are computed in.
        most: How that is called.
    """
    if integers and 2 * integers >= total:
        return most
    return f"{floating} (int8: {integers or 'none'} of {total} convolutions)"


def require(reason: str | None) -> None:
    """Raises `MissingBackendError` with the install command for what `Runtime.missing` says."""
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
    for want, got in zip(shape[1:], batch.shape[1:], strict=False):
        if fits and want is None and got % TOTAL_STRIDE:
            check_size(batch.shape[1:3] if dtype == "uint8" else batch.shape[2:4])
    if not fits or batch.dtype != dtype:
        wanted = "x".join("N" if n is None else str(n) for n in shape)
        size = "x".join(map(str, batch.shape))
        raise UsageError(
            f"the engine takes {dtype} {wanted}, not {batch.dtype} {size}",
            f"{MAKERS[dtype]} makes it, and --dynamic an engine for other batch sizes",
        )


def short_reason(error: Exception) -> str:
    """What a third party's exception says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
