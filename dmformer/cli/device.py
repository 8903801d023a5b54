"""``dmformer device``: the machines that ``--on`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.device_requests import (
    DeviceAddOptions,
    DeviceCheckOptions,
    DeviceListOptions,
    DeviceRemoveOptions,
    DeviceSetupOptions,
)

if TYPE_CHECKING:
    from dmformer.pipeline.devices import DevicesDocument, State

GROUP_HELP = "Other machines for --on: write them down, look at them, set them up, clear them."
COLOURS = {"ready": "green", "failed": "red", "not set up": "yellow", "outdated": "yellow"}


def show(document: DevicesDocument) -> None:
    """A device a row, and what is to be known of each."""
    from dmformer.cli.output import console, escaped, table

    out = console()
    if not document.devices:
        out.print(f"no device is known; {escaped(document.file)} would hold them")
        out.print("add one with: dmformer device add NAME user@host")
        return
    grid = table(None, "device", "address", "state", "machine", "Python", "targets", "tags")
    for name, one in document.devices.items():
        targets, tags = ", ".join(one.targets), ", ".join(one.tags)
        cells = (one.machine or "", one.python or "", targets, tags)
        grid.add_row(escaped(name), escaped(one.address), _state(one.state), *map(escaped, cells))
    out.print(grid)
    for name, one in document.devices.items():
        for note in one.notes:
            out.print(f"  [bold]{escaped(name)}[/bold]: {escaped(note)}")


def _state(state: State) -> str:
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/{colour}]" if colour else state


DEVICE = (
    Command(
        "device add",
        DeviceAddOptions,
        "dmformer.pipeline.devices:add",
        show,
        "Write a device down under a name. Keys, jump hosts and agents are those of your OpenSSH.",
        (
            ("dmformer device add jetson nvidia@192.168.1.20 --tag jetson", "then: dmformer bench BUNDLE --on jetson"),
            ("dmformer device add pi pi@raspberrypi.local --accept-new", "log in once, and take its host key"),
        ),
        talks=False,
    ),
    Command(
        "device list",
        DeviceListOptions,
        "dmformer.pipeline.devices:listed",
        show,
        "The devices that are written down. Nothing is connected to.",
        talks=False,
    ),
    Command(
        "device check",
        DeviceCheckOptions,
        "dmformer.pipeline.devices:check",
        show,
        "Whether devices can be reached, and what is there. Changes nothing there.",
        (("dmformer device check all", "every device"),),
        talks=False,
    ),
    Command(
        "device setup",
        DeviceSetupOptions,
        "dmformer.pipeline.devices:setup",
        show,
        """Make an environment on devices, in a directory of its own: dmformer as it is here, without torch.

        What is there already is left alone. Where the device reaches no package index, the wheels go there from here.
        """,
        (
            ("dmformer device setup jetson -t onnxruntime -t tensorrt", "TensorRT itself is that of JetPack"),
            ("dmformer device setup pi --carry", "without a network there"),
        ),
        talks=False,
    ),
    Command(
        "device remove",
        DeviceRemoveOptions,
        "dmformer.pipeline.devices:remove",
        show,
        "Remove everything that was put on devices, and take them out of the list.",
        (("dmformer device remove pi --forget", "it is gone: only out of the list"),),
        talks=False,
    ),
)
