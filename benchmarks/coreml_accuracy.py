"""Core ML packages of the embedded checkpoint against PyTorch on all 10,000 test images, without a Mac.

    dmformer export --target coreml --fp32 -o build        (likewise --fp16, --w8a16, --int8)
    python benchmarks/coreml_accuracy.py build/*-coreml-*

The packages are run by the evaluator of ML Programs, many images at a time: the operators do not depend on the batch.
Prints top-1, agreement, SQNR and the largest difference of a logit, and how long `small` takes an image (--speed).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.evaluation.metrics import compare
from dmformer.export.coreml.conversion import Recipe, convert
from dmformer.export.coreml.package import write_package
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import load_checkpoint, random_checkpoint
from dmformer.pipeline.reference import answer
from dmformer.preprocessing import IMAGENET, pixels_of
from dmformer.progress import Silent
from dmformer.runtimes.coreml.session import package_of
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.package import read_package

BATCH = 100


def accuracy(bundles: list[Path], most: int | None) -> None:
    checkpoint = load_checkpoint(assets.CHECKPOINT)
    dataset = open_dataset(assets.TEST_IMAGES, checkpoint.labels)
    if most is not None:
        dataset = dataset.select(list(range(most)))
    reference = answer(checkpoint.build(), dataset, checkpoint.preprocessing, Silent())
    from dmformer.data.dataset import iterate_batches

    tensors = np.concatenate([b.tensor for b in iterate_batches(dataset, checkpoint.preprocessing, 500)])
    for path in bundles:
        bundle = Bundle.load(path)
        package = read_package(package_of(bundle))
        evaluator = Evaluator(package)
        given = tensors
        if package.model.inputs[0].kind == "image":
            given = pixels_of(tensors, checkpoint.preprocessing).astype(np.float32)
        started = time.perf_counter()
        found = np.concatenate(
            [evaluator.run({"image": given[at : at + BATCH]})["logits"] for at in range(0, len(given), BATCH)]
        )
        took = (time.perf_counter() - started) / len(given) * 1e3
        one = compare(reference.logits, found, reference.labels, dataset.name, "0" * 64)
        print(
            f"{path.name}: top-1 {one.top1:.2f} (PyTorch {one.reference_top1:.2f}), agreement {one.agreement:.2%}, "
            f"SQNR {one.sqnr_db:.1f} dB, max error {one.max_abs_error:.2e}, {took:.1f} ms an image in the evaluator",
            flush=True,
        )


def speed() -> None:
    network = canonicalize(random_checkpoint("small").build())
    with tempfile.TemporaryDirectory() as scratch:
        write_package(convert(network, Recipe(IMAGENET)), Path(scratch) / "small.mlpackage")
        started = time.perf_counter()
        evaluator = Evaluator(read_package(Path(scratch) / "small.mlpackage"))
        print(f"small, float16: read in {time.perf_counter() - started:.2f} s")
        image = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
        for _ in range(3):
            started = time.perf_counter()
            evaluator.run({"image": image})
            print(f"small at 224, float16: {time.perf_counter() - started:.2f} s an image", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--max-images", type=int)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    if given.bundles:
        accuracy(given.bundles, given.max_images)
    if given.speed:
        speed()


if __name__ == "__main__":
    main()
