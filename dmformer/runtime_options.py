"""Which options a manifest may have an engine opened with: those that a build writes, with the values it writes.

Options reach native libraries, here and in embedded projects, and some of those write files (``CACHE_DIR``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SIZES = r"\d{1,5}x\d{1,5}"
TENSORRT = {
    "system": r"[\w. -]{1,80}",
    "portable": "true|false",
    "compute_capability": r"\d{1,3}\.\d{1,3}",
    "driver": r"[\w. -]{1,40}",
    "built_for": r"[\w.+-]{1,20}(, [\w.+-]{1,20}){0,31}",
    "depthwise_levels": r"[\w ,.()]{1,200}",
}
ALLOWED: dict[str, dict[str, str]] = {
    "openvino": {"INFERENCE_PRECISION_HINT": "f32|bf16|f16"},
    "coreml": {
        "input": "image|tensor",
        "deployment_target": r"iOS\d{2}",
        "compute_units": "all|cpu|cpu-and-gpu|cpu-and-ne",
        "sizes": f"{SIZES}(,{SIZES}){{0,127}}",
        "int8": "w8a8|w8a16",
    },
    "tensorrt": TENSORRT,
    "tensorrt-rtx": TENSORRT,
}
"""Of a target: its options, and a pattern that the whole of a value fits. Targets that are not here take none."""


def check_options(target: str, options: Mapping[str, str]) -> None:
    """Raises `ValueError` for an option, or a value of one, that no build of a target writes."""
    allowed = ALLOWED.get(target, {})
    for name, value in options.items():
        if name not in allowed:
            raise ValueError(f"the runtime option {name[:40]!r} is none that {target[:40]} engines are opened with")
        if not re.fullmatch(allowed[name], value, flags=re.ASCII):
            raise ValueError(f"the runtime option {name} cannot be {value[:40]!r}")
