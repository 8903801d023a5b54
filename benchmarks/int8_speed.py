"""INT8 speed of ``small`` at 224x224, batch 1: every recipe, FP32, bfloat16 and PyTorch eager in turn.

Weights and calibration images are random: they change the accuracy, not the time.
"""

from __future__ import annotations

import argparse
import io
from functools import partial

import numpy as np
import openvino
import torch

from benchmarks.int8_recipes import compiled, engines, graphs_of
from benchmarks.timing import interleaved_ms, machine
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.trial import opened
from dmformer.runtimes.base import Call

IMAGES = 4


def recipes(checkpoint: Checkpoint, count: int, rounds: int) -> dict[str, float]:
    """Milliseconds of one image, by engine; `count` random images calibrate."""
    graphs = graphs_of(checkpoint, dynamic=False)
    images = np.random.default_rng(0).standard_normal((count, *checkpoint.preprocessing.shape), dtype=np.float32)
    model = checkpoint.build()
    converted = {
        name: openvino.convert_model(io.BytesIO(graph.SerializeToString()))
        for name, graph in (("plain", graphs.plain), ("canonical", graphs.canonical))
    }
    candidates: dict[str, Call] = {
        "pytorch eager FP32": lambda batch: model(torch.from_numpy(batch)).numpy(),
        "onnxruntime FP32, plain": opened("onnxruntime", graphs.plain),
        "onnxruntime FP32, canonical": opened("onnxruntime", graphs.canonical),
        "openvino FP32, canonical": compiled(converted["canonical"], "f32"),
        "openvino bf16, plain": compiled(converted["plain"]),
        "openvino bf16, canonical": compiled(converted["canonical"]),
    }
    for runtime, made in engines(graphs, images).items():
        candidates |= {f"{runtime} INT8, {name}": open_engine() for name, open_engine in made.items()}
    with torch.inference_mode():
        return interleaved_ms({name: partial(call, images[:1]) for name, call in candidates.items()}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(machine())
    checkpoint = random_checkpoint(arguments.preset, size=arguments.size)
    show(recipes(checkpoint, IMAGES, arguments.rounds))


def show(found: dict[str, float]) -> None:
    for name, milliseconds in found.items():
        print(f"{name:<72}{milliseconds:9.2f} ms {found['pytorch eager FP32'] / milliseconds:7.2f}x PyTorch")
    for runtime, floats in (("onnxruntime", ("FP32, canonical",)), ("openvino", ("bf16, canonical", "bf16, plain"))):
        ours = found[f"{runtime} INT8, dmformer --int8"]
        rivals = [name for name in found if name.startswith(f"{runtime} INT8") and "dmformer" not in name]
        best = min(rivals, key=lambda name: found[name])
        print(f"{runtime}: {found[best] / ours:.2f}x as fast as the best stock recipe ({best.partition(', ')[2]})")
        for name in floats:
            print(f"{runtime}: {found[f'{runtime} {name}'] / ours:.2f}x as fast as its own {name}")


if __name__ == "__main__":
    main()
