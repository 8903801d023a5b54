"""One emulated Arm machine for all tests of this room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arm.device import ArmDevice, arm_device
from tests.arm.root import UnsuitableError
from tests.support import ROOT

PARTS = ROOT / "build" / "arm"


@pytest.fixture(scope="session")
def parts() -> Path:
    """Where what takes long to make is kept."""
    return PARTS


@pytest.fixture(scope="session")
def arm(request: pytest.FixtureRequest, parts: Path) -> Iterator[ArmDevice]:
    """The machine. Where it cannot be, ``make arm`` fails with one line, and other runs skip what needs it."""
    try:
        started = arm_device(parts)
        device = started.__enter__()
    except UnsuitableError as error:
        if request.config.getoption("markexpr") == "arm":
            pytest.exit(f"no emulated Arm machine: {error}", 1)
        pytest.skip(f"no emulated Arm machine: {error}")
    try:
        yield device
    finally:
        started.__exit__(*sys.exc_info())
