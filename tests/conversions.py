"""PyTorch's conversion to ONNX, once in a run of the tests for each network and shape: it is most of an export's time.

The same network has the same graph (tests/graph/test_determinism.py converts anew), and everything after the conversion
runs each time.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from dmformer.graph.from_torch import GraphOptions, onnx_from_torch
from dmformer.model.network import DMFormer

if TYPE_CHECKING:
    import pytest

Convert = Callable[[DMFormer, GraphOptions], ir.Model]
CONVERSIONS = "DMFORMER_TESTS_CONVERSIONS"
"""The variable that names the folder of `tests.conversions` to processes that `REMEMBERING` begins."""
REMEMBERING = f"""
import os, sys
sys.path.append({str(Path(__file__).parent.parent)!r})
from pathlib import Path
from dmformer.graph import onnx_model
from tests.conversions import remembered
onnx_model.onnx_from_torch = remembered(Path(os.environ["{CONVERSIONS}"]))
from dmformer.cli import main
main()
"""
"""The command line, where converting the network is not what a test is about: that is two thirds of an export."""


def remembered(folder: Path, convert: Convert = onnx_from_torch) -> Convert:
    """A conversion that keeps what it made in a folder, which processes may share, and gives a copy of it again."""
    folder.mkdir(exist_ok=True)

    def converted(model: DMFormer, options: GraphOptions) -> ir.Model:
        said = f"{digest(model)} {replace(options, simplify=True)}"  # The simplifier comes later.
        kept = folder / hashlib.sha256(said.encode()).hexdigest()
        if not kept.exists():
            content = ir.to_proto(convert(model, options)).SerializeToString()
            whole = folder / f"{kept.name}.{os.getpid()}"
            whole.write_bytes(content)
            whole.rename(kept)
        return ir.from_proto(onnx.load_model_from_string(kept.read_bytes()))

    return converted


def read_operators_once(patch: pytest.MonkeyPatch) -> None:
    """Lets PyTorch read the ONNX functions of its operators once: for each conversion anew that is a third of it."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))


def digest(model: DMFormer) -> str:
    """Of all that a conversion reads: the modules, what they were made with, and their tensors."""
    told = hashlib.sha256(f"{model.config!r} {model!r}".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        told.update(f"{name} {tensor.shape} {tensor.dtype}".encode())
        told.update(tensor.detach().numpy().tobytes())
    return told.hexdigest()
