"""What ``dmformer device`` is asked, as data; see `dmformer.options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dmformer.devices.defaults import DIRECTORY, USUAL
from dmformer.options import Option

Devices = Annotated[tuple[str, ...], Option("devices", "Names, user@host, tag:NAME or all.")]


@dataclass(frozen=True)
class DeviceAddOptions:
    """A device to write down.

    Attributes:
        name: What ``--on`` will call it.
        host: ``user@host``, ``user@host:port``, or an alias in ``~/.ssh/config``.
        port: Of its SSH server; None leaves it to OpenSSH, likewise below.
        identity: A private key's file.
        config: An OpenSSH configuration in place of ``~/.ssh/config``.
        python: The interpreter there.
        directory: Where everything that is written there lies.
        tag: Groups that it is of.
        accept_new: Log in once, and take its host key where none is known.
    """

    name: Annotated[str, Option("name", "What --on will call it.")]
    host: Annotated[str, Option("host", "user@host, user@host:port, or an alias of ~/.ssh/config.")]
    port: Annotated[int | None, Option("--port", "Of its SSH server.", min=1, max=65535)] = None
    identity: Annotated[str | None, Option("--identity", "A private key's file.")] = None
    config: Annotated[str | None, Option("--ssh-config", "In place of ~/.ssh/config.")] = None
    python: Annotated[str, Option("--python", "The interpreter there, 3.10 to 3.13.")] = "python3"
    directory: Annotated[str, Option("--directory", "Where all that is written there lies.")] = DIRECTORY
    tag: Annotated[tuple[str, ...], Option("--tag", "Groups that it is of.")] = ()
    accept_new: Annotated[bool, Option("--accept-new", "Log in once, and take its host key where none is known.")] = (
        False
    )


@dataclass(frozen=True)
class DeviceListOptions:
    """The devices that are written down: nothing is asked besides."""


@dataclass(frozen=True)
class DeviceCheckOptions:
    """Devices to look at.

    Attributes:
        devices: As ``--on`` takes them.
    """

    devices: Devices


@dataclass(frozen=True)
class DeviceSetupOptions:
    """Devices to make an environment on.

    Attributes:
        devices: As ``--on`` takes them.
        targets: Whose libraries are installed.
        carry: Bring every wheel from here, also where the device has a network.
    """

    devices: Devices
    targets: Annotated[
        tuple[str, ...], Option("--target -t", "Whose libraries are installed.", default=", ".join(USUAL))
    ] = USUAL
    carry: Annotated[bool, Option("--carry", "Bring every wheel from here, as where it has no network.")] = False


@dataclass(frozen=True)
class DeviceRemoveOptions:
    """Devices to remove everything from.

    Attributes:
        devices: As ``--on`` takes them.
        forget: Only take them out of the list: they are gone.
        keep: Leave them in the list.
    """

    devices: Devices
    forget: Annotated[bool, Option("--forget", "Only take them out of the list: they are gone.")] = False
    keep: Annotated[bool, Option("--keep", "Leave them in the list.")] = False
