"""This machine, driven as a device is: the same agent, without a network between."""

from __future__ import annotations

from dmformer.devices.resource import Resource
from dmformer.devices.wire import LOGIN
from dmformer.errors import DeviceError


class Local:
    """Starts agents as processes of this machine."""

    def __init__(self, name: str, resource: Resource) -> None:
        self.name, self.resource = name, resource

    def connect(self) -> None:
        """Nothing is between."""

    def command(self) -> list[str]:
        """Starts the agent."""
        return ["/bin/sh", "-c", LOGIN]

    def why(self, code: int | None, said: str) -> DeviceError | None:
        """Nothing of its own goes wrong."""
        return None
