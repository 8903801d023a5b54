"""dmformer: from trained DMFormer weights to small, fast and verified engines.

The names below are bound when they are first used: importing this package imports neither torch nor a
runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmformer import errors as errors
from dmformer.version import __version__ as __version__

if TYPE_CHECKING:
    from dmformer.common_options import MaskOptions as MaskOptions
    from dmformer.evaluation.latency.settings import BenchSettings as BenchSettings
    from dmformer.model.checkpoint import Checkpoint as Checkpoint
    from dmformer.model.checkpoint import load_checkpoint as load_checkpoint
    from dmformer.model.checkpoint import save_checkpoint as save_checkpoint
    from dmformer.model.config import ModelConfig as ModelConfig
    from dmformer.model.config import preset as preset
    from dmformer.model.network import DMFormer as DMFormer
    from dmformer.pipeline.api import Bundle as Bundle
    from dmformer.pipeline.api import bench as bench
    from dmformer.pipeline.api import embed as embed
    from dmformer.pipeline.api import verify as verify
    from dmformer.pipeline.api_export import export as export
    from dmformer.pipeline.option_groups import CoreMlOptions as CoreMlOptions
    from dmformer.pipeline.option_groups import EngineOptions as EngineOptions
    from dmformer.pipeline.option_groups import PreprocessingOptions as PreprocessingOptions
    from dmformer.pipeline.option_groups import ToleranceOptions as ToleranceOptions
    from dmformer.pipeline.options import ExportOptions as ExportOptions
    from dmformer.pipeline.options import Int8Options as Int8Options
    from dmformer.pipeline.weights_options import WeightsOptions as WeightsOptions
    from dmformer.prediction.classifier import Classifier as Classifier
    from dmformer.prediction.load import load as load
    from dmformer.prediction.predictor import Predictor as Predictor
    from dmformer.prediction.segmenter import Segmenter as Segmenter
    from dmformer.preprocessing import Preprocessing as Preprocessing
    from dmformer.runtimes.registry import open_bundle as open_bundle
    from dmformer.tasks.features import Features as Features
    from dmformer.tasks.segmentation import Segmentation as Segmentation

_NAMES = {
    "common_options": "MaskOptions",
    "evaluation.latency.settings": "BenchSettings",
    "model.checkpoint": "Checkpoint load_checkpoint save_checkpoint",
    "model.config": "ModelConfig preset",
    "model.network": "DMFormer",
    "pipeline.api": "Bundle bench embed verify",
    "pipeline.api_export": "export",
    "pipeline.option_groups": "CoreMlOptions EngineOptions PreprocessingOptions ToleranceOptions",
    "pipeline.weights_options": "WeightsOptions",
    "pipeline.options": "ExportOptions Int8Options",
    "prediction.classifier": "Classifier",
    "prediction.load": "load",
    "prediction.predictor": "Predictor",
    "prediction.segmenter": "Segmenter",
    "preprocessing": "Preprocessing",
    "runtimes.registry": "open_bundle",
    "tasks.features": "Features",
    "tasks.segmentation": "Segmentation",
}
"""What is bound late, by module; a test keeps what types are told above equal to it."""
_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", "errors", *_WHERE]


if not TYPE_CHECKING:  # which knows all names, and that there are no others

    def __getattr__(name: str) -> Any:
        if name in _WHERE:
            return getattr(import_module(f"dmformer.{_WHERE[name]}"), name)
        raise AttributeError(f"module 'dmformer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
