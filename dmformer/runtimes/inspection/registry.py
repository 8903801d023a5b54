"""The inspectors by target."""

from __future__ import annotations

from typing import cast

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.inspection.base import Inspector
from dmformer.runtimes.registry import fits_here
from dmformer.targets import TARGETS, get_target, load


def inspector_for(bundle: Bundle) -> Inspector:
    """The inspector of a bundle that can run here.

    Raises:
        MissingBackendError: Its runtime is not installed.
        EngineError: It was made for another machine, or its runtime cannot be looked into.
    """
    fits_here(bundle)
    return get_inspector(bundle.manifest.target)


def get_inspector(target: str) -> Inspector:
    """The inspector of a target.

    Raises:
        EngineError: This runtime cannot be looked into.
        UsageError: There is no such target.
    """
    where = get_target(target).inspector
    if where is None:
        able = ", ".join(row.name for row in TARGETS.values() if row.inspector)
        raise EngineError(f"{target}: its layers cannot be looked into", f"it works for: {able}")
    return cast(Inspector, load(where)())
