"""INT8 on checkpoints that nobody tuned for, and what each step of this project brings on each of them.

The checkpoints are those of ``make train-unlike``, with 256 calibration images and 1,000 test images each. Graphs run
in their own runtimes on this machine, beside the stock recipes (NNCF's where it is installed).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import onnx

from benchmarks.int8_accuracy import CALIBRATION_IMAGES, RUN_BATCH, logits_of, row, tensors
from benchmarks.int8_recipes import Graphs, Images, compiled, graphs_of, own, stock_onnxruntime, stock_openvino
from benchmarks.timing import machine
from dmformer.calibration.collect import calibrate
from dmformer.model.checkpoint import load_checkpoint
from dmformer.pipeline.trial import opened
from dmformer.runtimes.base import Call

MADE = Path("build/int8-checkpoints")
TESTED = 1000

WITHOUT: dict[str, tuple[str, object]] = {
    "equalization": ("dmformer.calibration.collect.search_scales", lambda model, statistics: {}),
    "factors at GELUs": ("dmformer.calibration.factors.relative_noise", lambda places, scales, statistics: {}),
    "the choice of ranges": ("benchmarks.int8_recipes.calibrate", partial(calibrate, method="mse")),
    "rounding by inputs": ("dmformer.calibration.bias_correction.round_weights", lambda graph, model, chunks: None),
    "bias correction": ("dmformer.calibration.bias_correction._certain", lambda differences: differences[0] * 0),
}
"""A step by name, where it is, and what stands in for it."""


def ablation(graphs: Graphs, target: str, images: Images) -> Iterator[tuple[str, onnx.ModelProto]]:
    """This project's graph, and that without each step."""
    yield "dmformer --int8", own(graphs, target, images)
    for step, (place, substitute) in WITHOUT.items():
        with ExitStack() as stack:
            stack.enter_context(mock.patch(place, substitute))
            yield f"  without {step}", own(graphs, target, images)


def recipes(graphs: Graphs, images: Images) -> Iterator[tuple[str, str, Callable[[], Call]]]:
    """Runtime, name and what opens it."""
    stock = stock_onnxruntime(graphs.plain, images)
    for name in ("quantize_static defaults", "quantize_static U8S8 per channel"):
        yield "onnxruntime", name, partial(opened, "onnxruntime", stock[name])
    for name, made in ablation(graphs, "onnxruntime", images):
        yield "onnxruntime", name, partial(opened, "onnxruntime", made)
    for name, converted in stock_openvino(graphs.plain, images).items():
        yield "openvino", name, partial(compiled, converted)
    for name, made in ablation(graphs, "openvino", images):
        yield "openvino", name, partial(opened, "openvino", made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in MADE.glob("*.safetensors")))
    print(machine())
    print(f"{'checkpoint':<16}{'runtime':<12}{'recipe':<44}{'top-1':>7}{'agreement':>11}{'SQNR dB':>9}")
    for name in parser.parse_args().names:
        checkpoint = load_checkpoint(MADE / f"{name}.safetensors")
        graphs = graphs_of(checkpoint, dynamic=True)
        images, _ = tensors(MADE / f"{name}.calibration.npz", checkpoint, CALIBRATION_IMAGES)
        test, labels = tensors(MADE / f"{name}.test.npz", checkpoint, TESTED)
        reference = logits_of(opened("onnxruntime", graphs.plain), test, RUN_BATCH)
        print(f"{name:<16}{'onnxruntime':<12}{'FP32':<44}{float(np.mean(reference.argmax(1) == labels) * 100):7.2f}")
        for runtime, recipe, open_engine in recipes(graphs, images):
            figures = row(reference, logits_of(open_engine(), test, RUN_BATCH), labels)
            print(f"{name:<16}{runtime:<12}{recipe:<44}{figures}", flush=True)


if __name__ == "__main__":
    main()
