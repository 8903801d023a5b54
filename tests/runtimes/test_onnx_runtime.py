"""ONNX Runtime, and the plain ONNX file that it proves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from dmformer.errors import EngineError
from dmformer.runtimes.base import Session, with_integers
from dmformer.runtimes.onnx_runtime import OnnxRuntimeSession, executed_integers, session_options
from dmformer.runtimes.registry import open_bundle
from tests.runtimes.contract import RuntimeContract


class OnnxContract(RuntimeContract):
    provider = "CPUExecutionProvider"
    half_db = 65.0

    def threads_of(self, session: Session) -> int:
        assert isinstance(session, OnnxRuntimeSession)
        return int(session._session.get_session_options().intra_op_num_threads)


class TestOnnxRuntime(OnnxContract):
    target = "onnxruntime"


class TestOnnxFile(OnnxContract):
    target = "onnx"


def test_a_session_on_another_provider_is_refused(
    exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = ["AzureExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: providers)
    with pytest.raises(EngineError, match="not on CPUExecutionProvider alone"):
        open_bundle(str(exported("onnxruntime")))


def test_all_graph_optimizations_are_on() -> None:
    options = session_options(threads=3)
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.intra_op_num_threads == 3


def test_int8_is_said_only_where_onnx_runtime_computes_in_integers(exported: Callable[..., Path]) -> None:
    floating = str(exported("onnxruntime") / "model.onnx")
    assert re.fullmatch(r"float32 \(int8: none of \d+ convolutions\)", executed_integers(floating))
    assert with_integers(0, 0, "float32", "int8") == "float32 (int8: none of 0 convolutions)"
    assert with_integers(3, 6, "float32", "int8") == "int8"
