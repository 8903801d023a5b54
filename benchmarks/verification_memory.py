"""Peak memory of verification, the reference's outputs, flips and a search, for 200 and for 2,000 composed scenes.

The network is a segmenter of 150 classes, whose outputs are large. Each number of images runs in a process of its own,
so that its peak is its own. What all outputs together would take is printed too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

CLASSES, SIZE, MIB = 150, 128, 1 << 20


def work(images: int, folder: Path) -> None:
    """Everything once; prints the peak after each step."""
    from dmformer import assets
    from dmformer.evaluation.flips import find_flips
    from dmformer.evaluation.verify import verify
    from dmformer.framing import Framing
    from dmformer.model.config import PRESETS
    from dmformer.model.random_weights import random_checkpoint
    from dmformer.pipeline.export import export_bundles
    from dmformer.pipeline.options import ExportOptions
    from dmformer.pipeline.reference import reference_outputs
    from dmformer.progress import Silent
    from dmformer.tasks.segmentation_heads import FpnHead

    head = FpnHead(classes=CLASSES, neck=48, width=48)
    checkpoint = random_checkpoint(PRESETS["tiny"].model_copy(update={"head": head}), size=SIZE, name="dense")
    network, spec = checkpoint.build(), checkpoint.preprocessing
    bundle = export_bundles(checkpoint, ExportOptions(output=folder))[0].bundle
    dataset = assets.test_scenes().select(range(images))
    peaks = [peak()]
    started = time.perf_counter()
    reference = reference_outputs(network, dataset, Framing(spec), folder / "reference.f32", Silent())
    peaks.append(peak())
    steps: list[Callable[[], object]] = [
        lambda: verify(bundle, reference),
        lambda: find_flips(bundle, reference, Silent()),
        lambda: search(bundle, reference),
    ]
    for step in steps:
        step()
        peaks.append(peak())
    whole = images * prod(reference.shape) * 4 / MIB
    figures = "".join(f"{value:10.0f}" for value in peaks)
    print(f"{images:>7}{figures}{whole:14.0f}{time.perf_counter() - started:8.0f}", flush=True)


def search(bundle: Any, reference: Any) -> None:
    """What a search for a plan does once for each graph."""
    import onnx

    from dmformer.evaluation.metrics import Measured
    from dmformer.pipeline.int8_export import chosen_images
    from dmformer.pipeline.trial import opened, outputs_of
    from dmformer.tasks.base import Result

    images = chosen_images(reference, bundle.manifest.preprocessing, bundle.manifest.task)
    measured = Measured(bundle.manifest.task, bundle.manifest.preprocessing.resize)
    call = opened("onnxruntime", onnx.load(bundle.file("engine")))
    for rows, outputs in outputs_of(call, images.tensors, 1):
        measured.add(images.outputs(rows), Result(outputs), [images.targets[row] for row in rows])


def peak() -> float:
    """Of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--here", action="store_true", help="run in this process")
    arguments = parser.parse_args()
    if arguments.here:
        with tempfile.TemporaryDirectory() as folder:
            work(arguments.images[0], Path(folder))
        return
    names = ("before", "reference", "verify", "flips", "search")
    print(f"{'images':>7}{''.join(f'{name:>10}' for name in names)}{'outputs MiB':>14}{'seconds':>8}")
    for count in arguments.images:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.verification_memory", "--here", "--images", str(count)], check=True
        )


if __name__ == "__main__":
    main()
