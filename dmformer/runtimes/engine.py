"""An engine: an opened session that knows what it is. What verifies, measures or uses bundles works on one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.engine_input import EngineInput, from_images, from_tensors
from dmformer.errors import EngineError
from dmformer.manifest import Manifest
from dmformer.preprocessing import Preprocessing
from dmformer.runtimes.base import Array, Session, SessionOptions
from dmformer.runtimes.registry import open_bundle
from dmformer.tasks.base import Result, joined

OPEN_BATCH = 32
"""Images at once where neither the engine nor its session binds them: this project's choice."""
USUAL_SIDE = 224


@dataclass(frozen=True)
class Engine:
    """A session and the manifest of its bundle. A context manager.

    Attributes:
        manifest: Says what goes in and comes out.
        session: Opened; closed with the engine.
        name: Of the bundle, for messages.
    """

    manifest: Manifest
    session: Session
    name: str

    @property
    def batch_size(self) -> int:
        """How many images are best given at once."""
        free = images_at_once(self.manifest.preprocessing.size)
        return self.session.images_at_once or self.manifest.input.shape[0] or free

    def run_images(self, images: Sequence[NDArray[Any]], spec: Preprocessing) -> Result:
        """What it gives for any number of images that become its input by ``spec``; see `run`."""
        return self.run(from_images(self.manifest, images, spec))

    def run_tensors(self, tensors: NDArray[np.float32]) -> Result:
        """What it gives for any number of preprocessed images; where it takes pixels, preprocessing is undone first.

        Args:
            tensors: float32 ``[N, C, H, W]``.

        Raises:
            EngineError: See `run`.
            UsageError: The engine takes pixels, and no picture gives these tensors.
        """
        return self.run(from_tensors(self.manifest, tensors))

    def run(self, images: EngineInput) -> Result:
        """What it gives for any number of images; the last batch of an engine with a fixed one is filled up.

        Args:
            images: What the engine takes, for any N: see `dmformer.engine_input`.

        Raises:
            EngineError: An output is of another shape, or holds NaN or infinity.
        """
        return self._result(images, None)

    def answer(self, images: EngineInput) -> Result:
        """`run` for an application: where the graph decides itself, its decisions alone and no outputs."""
        answer = self.manifest.answer
        return self._result(images, answer.name if answer else None)

    def answer_images(self, images: Sequence[NDArray[Any]], spec: Preprocessing) -> Result:
        """`answer` for images that become its input by ``spec``."""
        return self.answer(from_images(self.manifest, images, spec))

    def _result(self, images: EngineInput, only: str | None) -> Result:
        size = self.batch_size
        parts = [self._run_part(images[start : start + size], only) for start in range(0, len(images), size)]
        given = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        decisions = given.pop(self.manifest.answer.name).astype(np.int64) if self.manifest.answer else None
        several = tuple(np.asarray(output, np.float32) for output in given.values())
        outputs = joined(several) if several else np.empty((len(images), 0), np.float32)
        if not np.isfinite(outputs).all():
            raise EngineError(f"{self.name}: the engine gives values that are not finite", "export it with --fp32")
        return Result(outputs, decisions, several if len(several) > 1 else ())

    def _run_part(self, images: EngineInput, only: str | None) -> dict[str, Array]:
        fixed = self.session.images_at_once is None and self.manifest.input.shape[0]
        missing = fixed - len(images) if fixed else 0
        batch = np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]) if missing else images
        given = self.session.run(np.ascontiguousarray(batch), only)
        for spec in self.manifest.outputs_for(batch.shape):
            if only in (None, spec.name) and given[spec.name].shape != spec.shape:
                raise EngineError(
                    f"{self.name}: the engine gives {given[spec.name].shape} for {len(batch)} images, "
                    f"the manifest says {spec.shape}"
                )
        return {spec.name: given[spec.name][: len(images)] for spec in self.manifest.outputs if spec.name in given}

    def close(self) -> None:
        """Releases the session."""
        self.session.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def images_at_once(size: tuple[int, int], usual: int = OPEN_BATCH) -> int:
    """How many images of a size are as many pixels as ``usual`` ones of 224x224: one at least, ``usual`` at most."""
    return max(1, min(usual, usual * USUAL_SIDE**2 // (size[0] * size[1])))


def open_engine(bundle: Bundle, options: SessionOptions | None = None) -> Engine:
    """Opens the engine of a bundle; see `dmformer.runtimes.registry.open_bundle`."""
    return Engine(bundle.manifest, open_bundle(bundle, options), str(bundle.path))
