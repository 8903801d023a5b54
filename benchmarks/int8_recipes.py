"""The INT8 recipes that the other int8 benchmarks compare: this project's and the stock tools' own.

Stock means what a user of these tools does with the graph that PyTorch exports: ``quantize_static`` of ONNX
Runtime with its defaults and with U8S8 per channel, each with and without ``quant_pre_process``, and
``nncf.quantize`` (PERFORMANCE preset, fast and accurate bias correction) after ``ov.convert_model``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray

from dmformer import host
from dmformer.calibration.collect import CalibrationSet, calibrate
from dmformer.calibration.factors import gelus_with_factors
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.evaluation.metrics import Measured
from dmformer.graph.from_torch import GraphOptions
from dmformer.graph.onnx_model import make_onnx
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.trial import opened
from dmformer.runtimes.base import Call
from dmformer.tasks.base import Outputs, Result, Task

Images = NDArray[np.float32]
CHUNK = 16
COUNTED = 100
"""Images whose decisions are counted at once."""
NNCF_HINT = "NNCF is not installed, its recipes are left out: pip install nncf"


@dataclass(frozen=True)
class Graphs:
    """The graph that PyTorch exports of a checkpoint, and this project's folded one."""

    plain: onnx.ModelProto
    canonical: onnx.ModelProto
    checkpoint: Checkpoint


def graphs_of(checkpoint: Checkpoint, dynamic: bool) -> Graphs:
    model = checkpoint.build()
    options = GraphOptions(checkpoint.preprocessing.size, dynamic=dynamic)
    plain, canonical = (
        make_onnx(network, options, checkpoint.preprocessing, None) for network in (model, canonicalize(model))
    )
    return Graphs(plain, canonical, checkpoint)


def own(graphs: Graphs, target: str, images: Images, correct: bool = True) -> onnx.ModelProto:
    """This project's INT8 graph for a target, as ``dmformer export --int8`` makes it."""

    def batches() -> Iterator[Images]:
        return (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))

    model = graphs.canonical
    found = calibrate(model, CalibrationSet(batches, "0" * 64, len(images), graphs.checkpoint.preprocessing))
    made = quantizer(model, found, target, host.int8_isa())
    gelus = gelus_with_factors(model, found.scales, before=True)
    groups = default_plan(model, target, gelus).int8_groups(model)
    return made.corrected(groups, batches) if correct else made.build(groups)


def stock_onnxruntime(model: onnx.ModelProto, images: Images) -> dict[str, onnx.ModelProto]:
    """``quantize_static`` in four ways."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
            size = fixed or CHUNK
            self.left = iter(range(0, len(images) // size * size, size))
            self.size = size

        def get_next(self) -> dict[str, Images] | None:
            start = next(self.left, None)
            return None if start is None else {"image": images[start : start + self.size]}

    u8s8 = {"per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    recipes: dict[str, dict[str, Any]] = {"defaults": {}, "U8S8 per channel": u8s8}
    found = {}
    with tempfile.TemporaryDirectory() as scratch, quiet():
        source, ready, target = (str(Path(scratch) / name) for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, ready)
        for name, options in recipes.items():
            for path, suffix in ((source, ""), (ready, ", pre-processed")):
                quantize_static(path, target, Reader(), **options)
                found[f"quantize_static {name}{suffix}"] = onnx.load(target)
    return found


def stock_openvino(model: onnx.ModelProto, images: Images) -> dict[str, openvino.Model]:
    """``nncf.quantize`` with fast and accurate bias correction; nothing where NNCF is not installed."""
    if find_spec("nncf") is None:
        print(NNCF_HINT)
        return {}
    import nncf

    found = {}
    with quiet():
        for name, fast in (("fast", True), ("accurate", False)):
            converted = openvino.convert_model(io.BytesIO(model.SerializeToString()))
            found[f"nncf.quantize, {name} bias correction"] = nncf.quantize(
                converted,
                nncf.Dataset([image[None] for image in images]),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                subset_size=len(images),
                fast_bias_correction=fast,
            )
    return found


def compiled(model: openvino.Model, hint: str | None = None) -> Call:
    """An OpenVINO model as a function from a batch to logits, like `dmformer.pipeline.trial.opened`."""
    config = {"PERFORMANCE_HINT": "LATENCY"} | ({"INFERENCE_PRECISION_HINT": hint} if hint else {})
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    return lambda batch: np.asarray(request.infer([batch], share_inputs=True, share_outputs=False)[0])


def engines(graphs: Graphs, images: Images) -> dict[str, dict[str, Callable[[], Call]]]:
    """Every recipe as something that opens it, by runtime: opened one after the other, to bound the memory."""
    stock = stock_onnxruntime(graphs.plain, images)
    onnxruntime: dict[str, Callable[[], Call]] = {
        name: partial(opened, "onnxruntime", model) for name, model in stock.items()
    }
    ours = {target: own(graphs, target, images) for target in ("onnxruntime", "openvino")}
    onnxruntime["dmformer --int8"] = partial(opened, "onnxruntime", ours["onnxruntime"])
    openvino_: dict[str, Callable[[], Call]] = {
        f"import of {name}": partial(opened, "openvino", model)
        for name, model in stock.items()
        if "pre-processed" in name
    }
    for name, converted in stock_openvino(graphs.plain, images).items():
        openvino_[name] = partial(compiled, converted)
    openvino_["dmformer --int8"] = partial(opened, "openvino", ours["openvino"])
    return {"onnxruntime": onnxruntime, "openvino": openvino_}


def accuracy(task: Task, resize: str, reference: Outputs, outputs: Outputs, targets: Sequence[Any]) -> str:
    """The headline figure, agreement and SQNR, as the columns of a table."""
    measured = Measured(task, resize)
    for start in range(0, len(reference), COUNTED):
        part = slice(start, start + COUNTED)
        measured.add(reference[part], Result(outputs[part]), targets[part])
    found = measured.comparison("test", "0" * 64)
    return f"{found.figures[task.figures[0].key].engine:7.2f}{found.agreement:11.2%}{found.sqnr_db or np.inf:9.2f}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences progress bars and advice of the stock tools."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
