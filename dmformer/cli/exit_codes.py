"""What the command line ends with; `dmformer.cli` says when."""

from __future__ import annotations

BELOW_TOLERANCE = 1
WRONG_INPUT = 2
FAULT = 70
STOPPED = 130
READER_LEFT = 141
TERMINATED = 143
