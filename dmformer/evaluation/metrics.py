"""Accuracy of an engine against the reference, counted image by image: no outputs are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmformer.fields import Score
from dmformer.manifest import Comparison
from dmformer.tasks.base import Decisions, Outputs, Result, Task

TINY = 1e-300
"""Energy of outputs that are all zero, so that it can be divided by."""


@dataclass
class Part:
    """Sums over a part of the outputs that is judged by itself, of all images: one output of several."""

    signal: float = 0.0
    noise: float = 0.0
    error: float = 0.0
    scale: float = 0.0

    @property
    def relative_noise(self) -> float:
        """Energy of the difference over that of the reference; SQNR in dB is ``-10 log10`` of it."""
        return self.noise / max(self.signal, TINY)

    def add(self, reference: Outputs, outputs: Outputs) -> None:
        # In float64: of two large finite outputs the difference may be none in float32.
        exact = reference.astype(np.float64)
        difference = np.abs(exact - outputs)
        self.signal += float(np.square(exact).sum())
        self.noise += float(np.square(difference).sum())
        self.error = max(self.error, float(difference.max()))
        self.scale = max(self.scale, float(np.abs(reference).max()))


class Measured:
    """Everything that is said of an engine on a set of images; memory does not grow with the set."""

    def __init__(self, task: Task, resize: str) -> None:
        """Begins with no image.

        Args:
            task: What the engine is for.
            resize: How images lie in its input, as `dmformer.geometry.placement` takes it.
        """
        self._task = task
        self.engine, self._reference = task.tally(resize), task.tally(resize)
        self._images = self._compared = self._decisions = self._equal = 0
        self._parts: list[Part] = []

    def add(self, reference: Outputs | None, result: Result, targets: Sequence[Any]) -> None:
        """Counts some images.

        Args:
            reference: FP32 PyTorch's outputs ``[n, ...]``; None where they are not at hand.
            result: What the engine gave for them.
            targets: What is right for each; None where that is not known.
        """
        decided = self._task.decided(result)
        self._images += len(result.outputs)
        self._decisions += decided.size
        self.engine.add(result, targets)
        if reference is not None:
            self._reference.add(Result(reference), targets)
            self._compare(reference, result.outputs, decided)

    def _compare(self, reference: Outputs, outputs: Outputs, decided: Decisions) -> None:
        self._compared += len(outputs)
        self._equal += int((self._task.decisions(reference) == decided).sum())
        sides = [self._task.parts(side) for side in (reference, outputs)]
        self._parts = self._parts or [Part() for _ in sides[0]]
        for part, right, given in zip(self._parts, *sides, strict=True):
            part.add(right, given)

    @property
    def relative_noise(self) -> float:
        """The worst part's."""
        return self._noisiest.relative_noise

    @property
    def _noisiest(self) -> Part:
        return max(self._parts, key=lambda part: part.relative_noise, default=Part())

    def comparison(self, data: str, data_sha256: str) -> Comparison:
        """All of it as a record.

        Args:
            data: What the images are.
            data_sha256: Digest of the set.
        """
        compared = self._compared > 0
        theirs = self._reference.figures()
        noisiest = self._noisiest
        furthest = max(self._parts, key=lambda part: part.error / max(1.0, part.scale), default=Part())
        scores = {key: Score(engine=own, reference=theirs.get(key)) for key, own in self.engine.figures().items()}
        return Comparison(
            data=data,
            data_sha256=data_sha256,
            images=self._images,
            decisions=self._decisions or None,
            agreement=self._equal / self._decisions if compared and self._decisions else None,
            sqnr_db=ratio_db(noisiest.signal, noisiest.noise) if compared else None,
            sqnr_db_by_output=tuple(ratio_db(part.signal, part.noise) for part in self._parts if len(self._parts) > 1),
            max_abs_error=furthest.error if compared else None,
            reference_scale=furthest.scale if compared else None,
            figures=scores,
            drop_error=self._drop_error(),
            by_class=self._by_class(),
        )

    def _drop_error(self) -> float | None:
        own, theirs = self.engine.by_image(), self._reference.by_image()
        return float(np.sqrt(np.square(own - theirs).sum())) if 0 < own.size == theirs.size else None

    def _by_class(self) -> tuple[Score | None, ...]:
        own, theirs = self.engine.by_class(), self._reference.by_class()
        pairs = zip(own, theirs or (None,) * len(own), strict=True)
        return tuple(None if one is None else Score(engine=one, reference=other) for one, other in pairs)


def ratio_db(signal: float, noise: float) -> float | None:
    """Signal to quantization noise ratio, ``10 log10(signal / noise)``, of two energies in dB.

    None without noise; finite where there is no signal.
    """
    if noise == 0:
        return None
    # Not of the quotient, which may be too small for a float.
    return 10 * (math.log10(max(signal, np.finfo(np.float64).tiny)) - math.log10(noise))
