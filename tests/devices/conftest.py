"""A device behind a real sshd, with an environment that was set up once for all workers of a test run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmformer.devices.inventory import VARIABLE, block
from dmformer.devices.resource import Resource
from tests.devices.environment import environment_below
from tests.devices.sshd import Served, served

NAME = "board"
ODD = 'it\'s "a" $HOME; directory'
"""A name that no shell leaves alone."""


@pytest.fixture(scope="session")
def device() -> Iterator[Served]:
    """A device without anything on it but Python."""
    with served() as one:
        yield one


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment as `device setup` makes it; not to be changed: see `ready`."""
    return environment_below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def ready(device: Served, environment: Path) -> Served:
    """The device, with an environment, in a directory whose name no shell leaves alone."""
    place = device.home / ODD / "environment"
    place.parent.mkdir(mode=0o700)
    # The folder of an environment may move: nothing in it is run by its own path.
    shutil.copytree(environment, place, symlinks=True)
    subprocess.run(["chown", "-R", device.user, str(place.parent)], check=True)
    return Served(
        device.resource.model_copy(update={"directory": f"~/{ODD}"}), device.folder, device.user, device.server
    )


Written = Callable[..., None]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes devices down for the command line, by their names."""

    def write(**devices: Resource) -> None:
        path = tmp_path / "devices.toml"
        path.write_text("\n".join(block(name, resource) for name, resource in devices.items()))
        monkeypatch.setenv(VARIABLE, str(path))

    return write
