"""Names that fit into tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Named(Protocol):
    """A candidate's result."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...


def short_names(results: Sequence[Named]) -> dict[str, str]:
    """What to call candidates where the model is named already: without its name, if all are of one model.

    Bundles are called ``MODEL-TARGET-PRECISION``: what tells them apart comes last, where narrow columns cut. Names
    stay whole where two of them would become equal.
    """
    models = {result.model for result in results}
    names = list(dict.fromkeys(result.name for result in results))
    if len(models) != 1:
        return {name: name for name in names}
    model = models.pop()
    short = {name: name.replace(model, "").strip(" -") or name for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}
