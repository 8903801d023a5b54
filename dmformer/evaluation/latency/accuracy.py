"""What a measurement says of accuracy: the bundle's own proof."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmformer.environment import Count, Text
from dmformer.fields import Decibels, Score, Share, Strict
from dmformer.tasks.base import Figure
from dmformer.tasks.registry import FIRST_TASK, figures_of


class Accuracy(Strict):
    """What the bundle's own proof says, on the largest set that it names: see `dmformer.manifest.Comparison`."""

    data: Text
    images: Count
    verified: bool
    task: Text = FIRST_TASK
    figures: Annotated[dict[Text, Score], Field(max_length=64)] = {}  # noqa: RUF012 - pydantic copies it
    agreement: Share | None = None
    sqnr_db: Decibels | None = None
    max_abs_error: Annotated[float, Field(ge=0)] | None = None

    @property
    def headline(self) -> tuple[Figure, Score] | None:
        """The task's first figure and what was reached in it; None where it was not counted."""
        return next(
            ((figure, self.figures[figure.key]) for figure in figures_of(self.task)[:1] if figure.key in self.figures),
            None,
        )
