"""The runtimes by name. Nothing is imported before it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from dmformer.bundle import Bundle
from dmformer.errors import MissingBackendError
from dmformer.runtimes.base import Runtime, Session, SessionOptions, require
from dmformer.runtimes.fitting import check_machine
from dmformer.targets import get_target, load


def get_runtime(name: str) -> Runtime:
    """The runtime of a target.

    Raises:
        UsageError: There is no such target.
    """
    row = get_target(name)
    return cast(Runtime, load(row.runtime)(row))


def fits_here(bundle: Bundle) -> None:
    """Raises where a bundle cannot run here, or would run wrongly. Opens nothing.

    Raises:
        MissingBackendError: Its runtime is not installed; the hint is the install command.
        EngineError: It was made for another GPU or version of the library, its INT8 for another CPU, or its engine is
            still to be built.
    """
    runtime = get_runtime(bundle.manifest.target)
    require(runtime.missing())
    check_machine(bundle)
    runtime.check_bundle(bundle)


def open_bundle(bundle: Bundle | Path | str, options: SessionOptions | None = None) -> Session:
    """Opens a bundle's engine with the runtime it was built for.

    Args:
        bundle: A loaded bundle, or the path of one.
        options: Threads and device; the default leaves both to the runtime.

    Returns:
        A session, a context manager: preprocessed batches in, the engine's raw outputs out, by name.

    Raises:
        BundleError: The bundle is damaged.
        MissingBackendError: Its runtime is not installed; the hint is the install command.
        EngineError: It was made for another machine, or is no engine of this manifest.

    Examples:
        >>> import dmformer
        >>> import numpy as np
        >>> with dmformer.open_bundle("build/shapes-onnxruntime-fp32") as session:
        ...     outputs = session.run(np.zeros((1, 3, 32, 32), np.float32))
        >>> outputs["logits"].shape
        (1, 10)
    """
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    fits_here(loaded)
    return open_fitting(loaded, options or SessionOptions())


def open_fitting(bundle: Bundle, options: SessionOptions) -> Session:
    """Opens the engine of a bundle that `fits_here` has let pass, for who times the two apart; see `open_bundle`."""
    runtime = get_runtime(bundle.manifest.target)
    try:
        return runtime.open(bundle, options)
    except ImportError as error:
        message = f"the library of {bundle.manifest.target} is installed but cannot be imported ({error})"
        raise MissingBackendError(message, "install it again") from error
