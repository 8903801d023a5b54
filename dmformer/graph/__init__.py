"""Canonical model -> ONNX -> simplified ONNX, and precision as graph transformations."""
