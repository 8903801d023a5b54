"""What holds of a device where nothing else is said. Imports nothing, for the help shows it."""

from __future__ import annotations

DIRECTORY = "~/.dmformer-device"
"""Everything that is ever written on a device is below."""
TARGETS = ("onnxruntime", "openvino")
"""Whose libraries are installed: those that every Linux has wheels of."""
EXTRAS = {"onnx": "onnxruntime", "onnxruntime": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt"}
"""What is installed for a target, of the extras of dmformer that need no torch."""
