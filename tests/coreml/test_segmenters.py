"""Segmenters as Core ML packages in the smaller precisions, proven by the evaluator; the contract has float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.model.checkpoint import load_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import CoreMlOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.precision import Precision
from dmformer.runtimes.engine import open_engine
from tests.support import LOOSE, random_batch


@pytest.mark.parametrize(
    ("precision", "int8", "least_db"),
    [("fp16", "w8a8", 50), ("int8", "w8a16", 30), ("int8", "w8a8", 20)],
)
def test_every_precision_scores_like_pytorch(
    segmenter_weights: Path, masked: Path, tmp_path: Path,
    precision: Precision, int8: str, least_db: float,
) -> None:  # fmt: skip
    options = ExportOptions(
        targets=("coreml",),
        precision=precision,
        argmax=True,
        data=masked,
        golden_images=3,
        coreml=CoreMlOptions(int8=int8, tensor_input=True),  # type: ignore[arg-type]
        int8=Int8Options(use_cache=False),
        tolerance=LOOSE,
        output=tmp_path,
    )
    bundle = export_bundles(segmenter_weights, options)[0].bundle
    proof = Bundle.load(bundle.path).manifest.proof
    assert proof is not None
    assert min(comparison.sqnr_db or 999 for comparison in proof.comparisons) > least_db
    assert set(proof.comparisons[-1].figures) == {"miou", "aacc", "macc"}
    batch = random_batch(1, side=64)
    with open_engine(bundle) as engine:
        given = engine.run_tensors(batch)
    assert given.decisions is not None
    own = load_checkpoint(segmenter_weights).config.task.decisions(given.outputs)
    assert np.mean(own == given.decisions) > 0.999, "the package decides by its own scores"
