"""The ONNX file as the result, for the runtimes that dmformer does not know: proven by ONNX Runtime."""

from __future__ import annotations

from dmformer.runtimes.onnx_runtime import OnnxRuntime


class OnnxFileRuntime(OnnxRuntime):
    """Target ``onnx``. The bundle is the one of ``onnxruntime`` under the name of what it is for."""

    name = "onnx"
