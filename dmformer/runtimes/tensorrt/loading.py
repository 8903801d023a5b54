"""Finding and importing a library; nothing here is imported before it is asked for.

NVIDIA's TensorRT for RTX lies in two packages on PyPI that do not know each other: the ONNX Runtime plugin brings the
libraries, the bindings bring the Python API. The libraries are loaded first, so that the bindings find them.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dmformer.errors import MissingBackendError
from dmformer.runtimes.base import require
from dmformer.runtimes.tensorrt.libraries import Library, Version, parse_version

BINDINGS = "tensorrt_rtx_bindings"
CARRIER = "onnxruntime_ep_nv_tensorrt_rtx"
"""The package that carries the libraries the bindings need."""
CARRIED = ("libcudart.so.*", "libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*")
"""In the order in which they are loaded: each needs those before it."""


@dataclass(frozen=True)
class Loaded:
    """An imported library.

    Attributes:
        library: Which of the two.
        module: Its Python package. Objects that it makes are annotated with the types of ``tensorrt``.
        version: Its version as text.
    """

    library: Library
    module: Any
    version: str

    @property
    def numbers(self) -> Version:
        return parse_version(self.version)


def missing(library: Library) -> str | None:
    """Why a library is not here, with the command that installs it; None where it is."""
    module = next((name for name in library.modules if is_package(name)), None)
    if module is None or (module == BINDINGS and not is_package(CARRIER)):
        return f"{library.title} is not installed: {library.target.install}"
    return None


def is_package(name: str) -> bool:
    """Whether a package with code is installed; folders that only hold type stubs are none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def load(library: Library) -> Loaded:
    """Imports a library.

    Raises:
        MissingBackendError: It is not installed, or cannot be imported.
    """
    require(missing(library))
    name = next(name for name in library.modules if is_package(name))
    try:
        if name == BINDINGS:
            load_carried_libraries()
        module = import_module(name)
    except (ImportError, OSError) as error:
        raise MissingBackendError(
            f"{library.title} is installed but cannot be loaded ({str(error).splitlines()[0]})", library.target.install
        ) from error
    return Loaded(library, module, str(module.__version__))


def load_carried_libraries() -> None:
    """Loads the libraries of the ONNX Runtime plugin package into this process for everybody.

    Raises:
        OSError: One is not there or does not load.
    """
    spec = find_spec(CARRIER)
    folder = Path(str(spec.origin)).parent if spec else Path()
    for pattern in CARRIED:
        # Links to the library may lie beside it: the longest name is the file itself.
        file = max(folder.glob(pattern), key=lambda path: len(path.name), default=None)
        if file is None:
            raise OSError(f"{folder}: holds no {pattern}")
        ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
