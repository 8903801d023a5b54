"""A package run by the evaluator: correct on any machine, fast on none. Its times are not a device's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle, sha256_of
from dmformer.errors import EngineError
from dmformer.graph.coreml.package import WEIGHTS_DIGEST
from dmformer.graph.coreml.plan import sizes_of
from dmformer.preprocessing import pixels_of
from dmformer.runtimes.base import Array, Execution, Session, SessionOptions, check_batch, only_cpu
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.package import DAMAGE, Package, PackageError, read_package

PROVIDER = "evaluator"
"""What `Execution.provider` says: the evaluator, not a device."""
PIXELS_AT_ONCE = 1 << 16
"""Of all images that are run together: with more the caches hold less of what one operator leaves for the next."""
PACKAGE_SUFFIX = ".mlpackage"


def package_of(bundle: Bundle) -> Path:
    """The ``.mlpackage`` directory of a bundle: what holds the file with the role ``engine``.

    Raises:
        EngineError: That file is not inside a package.
    """
    engine = bundle.file("engine")
    package = next((parent for parent in engine.parents if parent.suffix == PACKAGE_SUFFIX), None)
    if package is None or not package.is_relative_to(bundle.path):
        raise EngineError(f"{engine}: cannot load it (it lies in no {PACKAGE_SUFFIX})", "export it again")
    return package


class EvaluatorSession(Session):
    """An ML Program opened by the evaluator. Takes any number of images: no operator but a classifier's minds."""

    repeatable = True

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        """Reads the package and checks that it is the manifest's.

        Raises:
            EngineError: It cannot be read, holds operators that are not known, or is another network's.
        """
        only_cpu(options, "the evaluator of Core ML packages")
        path, manifest = package_of(bundle), bundle.manifest
        try:
            package = read_package(path)
            check_interface(package, bundle)
            check_weights(package, bundle)
            # A label is one image's; the logits are not, and all that is wanted here.
            self._evaluator = Evaluator(package, [spec.name for spec in manifest.outputs], options.threads)
        except (PackageError, *DAMAGE) as error:
            raise EngineError(
                f"{path}: cannot load it ({' '.join(str(error).split())[:300]})", "export it again"
            ) from error
        self._path = path
        self._takes_pixels = package.model.inputs[0].kind == "image"
        self._preprocessing = manifest.preprocessing
        self._sizes, self._outputs = sizes_of(manifest), manifest.outputs
        height, width = manifest.preprocessing.size
        self.images_at_once = max(1, PIXELS_AT_ONCE // (height * width))
        self.execution = Execution(PROVIDER, manifest.precision.executes)

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> dict[str, Array]:
        check_batch(batch, (None, *fitting(batch, self._preprocessing.channels, self._sizes)))
        images = pixels_of(batch, self._preprocessing).astype(np.float32) if self._takes_pixels else batch
        try:
            outputs = self._evaluator.run({self._evaluator.inputs[0]: images})
        except ValueError as error:
            raise EngineError(f"{self._path}: cannot be run ({error})", "export it again") from error
        return {
            spec.name: np.asarray(outputs[spec.name], spec.dtype) for spec in self._outputs if only in (None, spec.name)
        }

    def close(self) -> None:
        self.__dict__.pop("_evaluator", None)


def check_interface(package: Package, bundle: Bundle) -> None:
    """Whether a package takes and gives what the manifest says.

    Raises:
        PackageError: It is another network's.
    """
    program, manifest = package.model.program, bundle.manifest
    sizes = sizes_of(manifest)
    if (
        len(program.inputs) != 1
        or len(package.model.inputs) != 1
        or list(program.inputs) != [package.model.inputs[0].name]
    ):
        raise PackageError("it is the package of another network: it does not take one image")
    taken = _taken(package)
    if taken != {(manifest.preprocessing.channels, *size) for size in sizes} or manifest.input.shape[1:] not in taken:
        raise PackageError(
            f"it is the package of another network: it takes {sorted(taken)}, the manifest says {manifest.input.shape}"
        )
    shapes = {name: kind.shape for op in program.operations for name, kind in op.outputs}
    for spec in manifest.outputs:
        if spec.name not in program.outputs:
            raise PackageError(f"it is the package of another network: it gives no {spec.name!r}")
        if (result := shapes.get(spec.name, ()))[1:] != spec.shape[1:]:
            raise PackageError(
                f"it is the package of another network: it gives {result}, the manifest says {spec.shape}"
            )


def _taken(package: Package) -> set[tuple[int | None, ...]]:
    """Channels, height and width of all inputs that a package takes."""
    feature = package.model.inputs[0]
    channels, *rest = next(iter(package.model.program.inputs.values())).shape[1:]
    if None not in rest:
        return {(channels, *rest)}
    # An open side is one of those that the interface lists: of images (height, width), of tensors with batch first.
    return {(channels, *shape[-2:]) for shape in (*feature.shapes, feature.shape)}


def fitting(batch: NDArray[np.float32], channels: int, sizes: tuple[tuple[int, int], ...]) -> tuple[int | None, ...]:
    """Channels, height and width of the listed size that a batch has; of the first where it has none of them."""
    return (channels, *(batch.shape[2:] if batch.shape[2:] in sizes else sizes[0]))


def check_weights(package: Package, bundle: Bundle) -> None:
    """Whether the weight file is the one that the specification was written with, whatever the manifest says.

    Raises:
        PackageError: It is another one.
    """
    stated, file = package.model.metadata.get(WEIGHTS_DIGEST), bundle.file("weights")
    if stated is not None and sha256_of(file) != stated:
        raise PackageError(f"the weight file {file.name} was changed: the specification names another SHA-256")
