"""dmformer: from trained DMFormer weights to small, fast and verified engines.

The names below are bound when they are first used: importing this package imports neither torch nor a
runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmformer.version import __version__

if TYPE_CHECKING:
    from dmformer.bundle import Bundle
    from dmformer.model.checkpoint import load_checkpoint, save_checkpoint
    from dmformer.pipeline.export import export_bundle as export
    from dmformer.prediction.classifier import Classifier
    from dmformer.prediction.predictor import Predictor
    from dmformer.runtimes.registry import open_bundle

_WHERE = {
    "Bundle": "dmformer.bundle:Bundle",
    "Classifier": "dmformer.prediction.classifier:Classifier",
    "Predictor": "dmformer.prediction.predictor:Predictor",
    "export": "dmformer.pipeline.export:export_bundle",
    "load_checkpoint": "dmformer.model.checkpoint:load_checkpoint",
    "open_bundle": "dmformer.runtimes.registry:open_bundle",
    "save_checkpoint": "dmformer.model.checkpoint:save_checkpoint",
}

__all__ = [
    "Bundle",
    "Classifier",
    "Predictor",
    "__version__",
    "export",
    "load_checkpoint",
    "open_bundle",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, _, attribute = _WHERE[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'dmformer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
