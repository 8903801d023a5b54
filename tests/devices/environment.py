"""An environment as ``dmformer device setup`` makes it, made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest

from dmformer.devices.device import Device, driver_of
from dmformer.devices.environment import set_up
from dmformer.devices.resource import Resource
from dmformer.errors import DeviceError
from dmformer.progress import Silent
from tests.devices.sshd import lacking, served


def environment_below(own: Path) -> Path:
    """The environment, with ONNX Runtime and without torch; not to be changed. Skips where pip reaches no index.

    Args:
        own: pytest's folder for this worker.
    """
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "environment"
    with (shared.parent / "environment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists() and lacking() is None:
            with served() as one:
                make(one.resource, one.home / ".dmformer-device", shared)
        elif not shared.exists():
            # Without sshd, or another user: by the same agent.
            place = shared.with_name("made")
            make(Resource(python=sys.executable, directory=str(place)), place, shared)
    return shared


def make(resource: Resource, directory: Path, shared: Path) -> None:
    """Sets a device up that has nothing yet, by wheels that are carried there, and keeps what came of it."""
    with Device(driver_of("made", resource)) as connected:
        assert connected.facts.environment is None
        try:
            done = set_up(connected, ("onnxruntime",), carry=True, progress=Silent())
        except DeviceError as error:
            pytest.skip(f"no wheels can be fetched here: {error.message}")
        assert done.changed and done.source == "carried"
        shutil.copytree(directory / "environment", shared, symlinks=True)
