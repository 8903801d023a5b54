"""A small canonical graph with realistic images for this room's tests."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from numpy.typing import NDArray

from dmformer.calibration.collect import CalibrationSet, calibrate
from dmformer.calibration.observe import Batches, run_over
from dmformer.calibration.ranges import Ranges
from dmformer.graph.from_torch import GraphOptions
from dmformer.graph.onnx_model import make_onnx
from dmformer.graph.qdq.graph import Graph
from dmformer.model.canonical import canonicalize
from dmformer.model.config import ModelConfig
from dmformer.model.random_weights import random_checkpoint
from dmformer.preprocessing import Preprocessing
from tests.support import TINY

SIDE = 64
PREPROCESSING = Preprocessing(size=(SIDE, SIDE))
ISA = "avx512-vnni"


@cache
def canonical_graph(config: ModelConfig = TINY) -> onnx.ModelProto:
    model = canonicalize(random_checkpoint(config, size=SIDE).build())
    return make_onnx(model, GraphOptions((SIDE, SIDE), dynamic=True), PREPROCESSING, None)


def images(count: int = 24, seed: int = 0) -> NDArray[np.float32]:
    """Smooth random images: white noise would average out before the first block."""
    coarse = np.random.default_rng(seed).standard_normal((count, 3, 8, 8), dtype=np.float32)
    return np.ascontiguousarray(np.kron(coarse, np.ones((1, 1, SIDE // 8, SIDE // 8), np.float32)))


def batches(array: NDArray[np.float32], size: int = 10) -> Batches:
    return lambda: (array[i : i + size] for i in range(0, len(array), size))


def calibration_set(count: int = 24) -> CalibrationSet:
    return CalibrationSet(batches(images(count)), "1" * 64, count, PREPROCESSING)


@cache
def ranges() -> Ranges:
    return calibrate(canonical_graph(), calibration_set())


def logits(model: onnx.ModelProto, array: NDArray[np.float32]) -> NDArray[np.float32]:
    name = model.graph.output[0].name
    return np.concatenate([values[name] for values in run_over(model, [name], batches(array))])


def sqnr(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(reference).sum() / np.square(reference - found).sum()))


def scaled_channels(model: onnx.ModelProto, sigma: float) -> onnx.ModelProto:
    """The same function with expand outputs and level sums rescaled by log-normal factors, as the issue has it."""
    graph = Graph(model)
    random = np.random.default_rng(0)
    for name in [name for name in graph.by_name if name.endswith("dma.expand")]:
        block = name.removesuffix(".expand")
        wide = len(graph.array(f"{name}.weight"))
        s, t = (np.exp(random.normal(0, sigma, wide)).astype(np.float32) for _ in range(2))
        for part, factor in (("expand.weight", s), ("expand.bias", s), ("levels.0.bias", t)):
            _multiply(graph, f"{block}.{part}", factor, 0)
        for level in range(3):
            _multiply(graph, f"{block}.levels.{level}.weight", t / s, 0)
        _multiply(graph, f"{block}.fuse.weight", np.reciprocal(t), 1)
    return graph.model()


def _multiply(graph: Graph, constant: str, factor: NDArray[np.float32], axis: int) -> None:
    values = graph.array(constant)
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    graph.set_array(constant, (values * factor.reshape(shape)).astype(np.float32))
