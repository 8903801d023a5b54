"""Canonical model -> ONNX -> simplified ONNX, and precision as graph transformations.

``dmformer.export`` is also the function of the public API: ``dmformer.export(weights, target="openvino")``.
A package and a function cannot share one name, so this package is made callable; it hands the call to
`dmformer.pipeline.export.export_bundle`, and imports nothing before.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from dmformer.pipeline.export import export_bundle

        return export_bundle(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
