"""What precision an engine can be asked for."""

from __future__ import annotations

from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]
