"""An INT8 engine is one function: it answers an image alike in whatever batch, and whatever the graph fixes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from dmformer import host
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.pipeline.trial import opened
from tests.calibration.graphs import batches, canonical_graph, images, logits, ranges
from tests.support import relative_noise


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_answers_do_not_depend_on_the_batch(target: str) -> None:
    model, array = canonical_graph(), images(8, seed=3)
    made = quantizer(model, ranges(), target, host.int8_isa())
    graph = made.corrected(default_plan(model, target).int8_groups(model), batches(images()))
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    together = opened(target, graph)(array)
    alone, of_one = (
        np.concatenate([call(image[None]) for image in array])
        for call in (opened(target, graph), opened(target, fixed))
    )
    rounding = relative_noise(logits(model, array), together)
    # Half precision, where a CPU has it, rounds differently with the shape: by less than the integers do.
    assert max(relative_noise(together, alone), relative_noise(together, of_one)) < rounding / 4
