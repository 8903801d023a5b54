"""What folding is worth: engines from the canonical and from the plain graph, against PyTorch, side by side.

The embedded checkpoint at 32x32 and ``small`` with random weights at 224x224, batch 1, FP32.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch

import dmformer
from benchmarks.timing import interleaved_ms, machine
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sources import resolve_checkpoint

TARGETS = ("onnxruntime", "openvino")


def measure(checkpoint: Checkpoint, folder: Path) -> dict[str, float]:
    """Median milliseconds for PyTorch eager and for each runtime from both graphs."""
    model = checkpoint.build()
    batch = torch.randn(1, *checkpoint.preprocessing.shape, generator=torch.Generator().manual_seed(0))
    array = batch.numpy()
    with ExitStack() as stack, torch.inference_mode():
        candidates = {"pytorch eager": lambda: model(batch)}
        for form, canonical in (("plain", False), ("canonical", True)):
            options = ExportOptions(TARGETS, canonical=canonical, output=folder / form)
            for outcome in export_bundles(checkpoint, options):
                session = stack.enter_context(dmformer.open_bundle(outcome.bundle))
                name = f"{outcome.bundle.manifest.target} {form}"
                candidates[name] = lambda session=session: session.run(array)  # type: ignore[misc]
        return interleaved_ms(candidates)


def show(title: str, found: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, milliseconds in found.items():
        print(f"  {name:<24}{milliseconds:8.3f} ms  {found['pytorch eager'] / milliseconds:6.2f}x PyTorch")
    for target in TARGETS:
        gain = found[f"{target} plain"] / found[f"{target} canonical"]
        print(f"  {target}: the canonical graph is {gain:.2f}x as fast as the plain one")


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        embedded = measure(resolve_checkpoint(None), Path(scratch) / "embedded")
        show("embedded checkpoint, 32x32, batch 1, FP32", embedded)
        small = measure(random_checkpoint("small"), Path(scratch) / "small")
        show("small (random weights), 224x224, batch 1, FP32", small)


if __name__ == "__main__":
    main()
