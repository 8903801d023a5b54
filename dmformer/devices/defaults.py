"""What holds of a device where nothing else is said. Imports nothing heavy, for the help shows it."""

from __future__ import annotations

from dmformer.targets import TARGETS

DIRECTORY = "~/.dmformer-device"
"""Everything that is ever written on a device is below."""
EXTRAS = {row.name: row.extra for row in TARGETS.values() if row.extra}
"""What is installed for a target, of the extras of dmformer that need no torch."""
USUAL = tuple({row.extra: row.name for row in TARGETS.values() if row.extra and not row.from_system}.values())
"""The targets whose libraries are installed where none are named: those that every Linux has wheels of."""
