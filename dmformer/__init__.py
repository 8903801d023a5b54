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
    from dmformer.evaluation.latency.settings import Settings as BenchSettings
    from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from dmformer.model.config import ModelConfig, preset
    from dmformer.model.network import DMFormer
    from dmformer.pipeline.embedding import embed
    from dmformer.pipeline.export import export_bundle as export
    from dmformer.pipeline.measurement import bench
    from dmformer.pipeline.option_groups import (
        CoreMlOptions,
        EngineOptions,
        PreprocessingOptions,
        ToleranceOptions,
        WeightsOptions,
    )
    from dmformer.pipeline.options import ExportOptions, Int8Options
    from dmformer.pipeline.requests import BenchOptions, EmbedOptions, VerifyOptions
    from dmformer.pipeline.verifying import verify
    from dmformer.prediction.classifier import Classifier
    from dmformer.prediction.predictor import Predictor
    from dmformer.preprocessing import Preprocessing
    from dmformer.runtimes.registry import open_bundle

_WHERE = {
    "Bundle": "dmformer.bundle:Bundle",
    "BenchOptions": "dmformer.pipeline.requests:BenchOptions",
    "BenchSettings": "dmformer.evaluation.latency.settings:Settings",
    "Checkpoint": "dmformer.model.checkpoint:Checkpoint",
    "Classifier": "dmformer.prediction.classifier:Classifier",
    "CoreMlOptions": "dmformer.pipeline.option_groups:CoreMlOptions",
    "DMFormer": "dmformer.model.network:DMFormer",
    "EmbedOptions": "dmformer.pipeline.requests:EmbedOptions",
    "EngineOptions": "dmformer.pipeline.option_groups:EngineOptions",
    "ExportOptions": "dmformer.pipeline.options:ExportOptions",
    "Int8Options": "dmformer.pipeline.options:Int8Options",
    "ModelConfig": "dmformer.model.config:ModelConfig",
    "Predictor": "dmformer.prediction.predictor:Predictor",
    "Preprocessing": "dmformer.preprocessing:Preprocessing",
    "PreprocessingOptions": "dmformer.pipeline.option_groups:PreprocessingOptions",
    "ToleranceOptions": "dmformer.pipeline.option_groups:ToleranceOptions",
    "VerifyOptions": "dmformer.pipeline.requests:VerifyOptions",
    "WeightsOptions": "dmformer.pipeline.option_groups:WeightsOptions",
    "bench": "dmformer.pipeline.measurement:bench",
    "embed": "dmformer.pipeline.embedding:embed",
    "export": "dmformer.pipeline.export:export_bundle",
    "load_checkpoint": "dmformer.model.checkpoint:load_checkpoint",
    "open_bundle": "dmformer.runtimes.registry:open_bundle",
    "preset": "dmformer.model.config:preset",
    "save_checkpoint": "dmformer.model.checkpoint:save_checkpoint",
    "verify": "dmformer.pipeline.verifying:verify",
}

__all__ = [
    "BenchOptions",
    "BenchSettings",
    "Bundle",
    "Checkpoint",
    "Classifier",
    "CoreMlOptions",
    "DMFormer",
    "EmbedOptions",
    "EngineOptions",
    "ExportOptions",
    "Int8Options",
    "ModelConfig",
    "Predictor",
    "Preprocessing",
    "PreprocessingOptions",
    "ToleranceOptions",
    "VerifyOptions",
    "WeightsOptions",
    "__version__",
    "bench",
    "embed",
    "export",
    "load_checkpoint",
    "open_bundle",
    "preset",
    "save_checkpoint",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, _, attribute = _WHERE[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'dmformer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
