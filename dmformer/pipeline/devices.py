"""What ``dmformer device`` does: devices are written down, looked at, set up and cleared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import ValidationError

from dmformer.devices import inventory
from dmformer.devices.defaults import EXTRAS
from dmformer.devices.device import Device, driver_of
from dmformer.devices.environment import check_python, set_up
from dmformer.devices.facts import SKEW_S
from dmformer.devices.resource import Resource, parse_address
from dmformer.devices.wheels import source_digest
from dmformer.documents import Document, schema
from dmformer.errors import DmformerError, OutputError, UsageError
from dmformer.fields import Strict
from dmformer.pipeline.device_requests import (
    DeviceAddOptions,
    DeviceCheckOptions,
    DeviceListOptions,
    DeviceRemoveOptions,
    DeviceSetupOptions,
)
from dmformer.progress import Progress, Silent
from dmformer.targets import TARGETS
from dmformer.texts import first_problem

State = Literal["known", "ready", "not set up", "outdated", "removed", "failed"]


class DeviceState(Strict):
    """One device.

    Attributes:
        address: Where it is.
        state: ``known`` where nobody looked; ``outdated`` where another dmformer is set up than runs here.
        python: Version of the interpreter there; ``machine`` as ``aarch64``.
        dmformer: Version of what is set up there.
        targets: Whose libraries are.
        tags: Groups that it is of.
        notes: What is to be known, or what went wrong and how to mend it.
    """

    address: str
    state: State
    python: str | None = None
    machine: str | None = None
    dmformer: str | None = None
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class DevicesDocument(Document):
    """Devices by their names, and the file that they are written down in."""

    schema_: Literal["dmformer.device/1"] = schema("dmformer.device/1")
    file: str
    devices: dict[str, DeviceState]

    @property
    def answered(self) -> bool:
        return all(device.state != "failed" for device in self.devices.values())


def add(options: DeviceAddOptions, progress: Progress | None = None) -> DevicesDocument:
    """Writes a device down.

    Raises:
        UsageError: It cannot be called so, is known already, or something of it cannot be.
        DeviceError: With ``accept_new``: it cannot be logged into; nothing is written.
    """
    resource = resource_of(options)
    inventory.check_name(options.name)
    if options.accept_new:
        driver_of(options.name, resource, accept_new=True).connect()
    try:
        inventory.add(options.name, resource)
    except OSError as error:
        raise OutputError(f"{inventory.devices_file()}: cannot be written ({error.strerror})") from error
    return _document({options.name: _known(resource)})


def resource_of(options: DeviceAddOptions) -> Resource:
    """The device that is meant.

    Raises:
        UsageError: Something of it cannot be.
    """
    address = parse_address(options.host)
    given = {
        "host": options.host if address is None else address.host,
        "user": address.user if address else None,
        "port": options.port or (address.port if address else None),
        **{name: getattr(options, name) for name in ("identity", "config", "python", "directory")},
        "tags": options.tag,
    }
    try:
        return Resource.model_validate(given)
    except ValidationError as error:
        raise UsageError(f"{options.name}: {first_problem(error)}") from error


def listed(options: DeviceListOptions, progress: Progress | None = None) -> DevicesDocument:
    """The devices that are written down; nobody looks at them."""
    return _document({name: _known(resource) for name, resource in inventory.read_inventory().items()})


def check(options: DeviceCheckOptions, progress: Progress | None = None) -> DevicesDocument:
    """Looks at devices: whether they can be reached, and what is there."""
    return _each(options.devices, progress, state_of)


def setup(options: DeviceSetupOptions, progress: Progress | None = None) -> DevicesDocument:
    """Makes an environment without torch on devices, of dmformer as it is here.

    Raises:
        UsageError: There are no wheels of a target for devices.
    """
    for target in options.targets:
        if target not in EXTRAS:
            raise UsageError(f"{target!r} cannot be set up on a device", f"choose from: {', '.join(EXTRAS)}")
    watch = progress or Silent()

    def work(name: str, resource: Resource, device: Device) -> DeviceState:
        if device.is_here:
            raise UsageError("this machine needs no setup", "--on local runs what runs here")
        done = set_up(device, options.targets, options.carry, watch)
        notes = ["nothing to do: it is set up already"] if not done.changed else [f"wheels: {done.source}"]
        if any(TARGETS[target].from_system for target in done.installed.targets):
            notes.append(f"libraries of its system: {', '.join(done.system) or 'not found'}")
        installed = {"dmformer": done.installed.version, "targets": done.installed.targets}
        facts = {"python": device.facts.version, "machine": device.facts.machine, "notes": tuple(notes)}
        return _known(resource).model_copy(update={"state": "ready", **installed, **facts})

    return _each(options.devices, progress, work)


def remove(options: DeviceRemoveOptions, progress: Progress | None = None) -> DevicesDocument:
    """Removes everything that was put on devices, and takes them out of the list.

    Raises:
        UsageError: Both things that exclude each other were asked for.
    """
    if options.forget and options.keep:
        raise UsageError("--forget and --keep exclude each other", "give one of them")

    def work(name: str, resource: Resource, device: Device) -> DeviceState:
        directory, there = device.remove()
        note = f"{directory} is gone" if there else f"{directory} was not there"
        return _known(resource).model_copy(update={"state": "removed", "notes": (note,)})

    chosen = inventory.chosen(options.devices, inventory.read_inventory())
    if options.forget:
        document = _document(
            {name: _known(one).model_copy(update={"state": "removed"}) for name, one in chosen.items()}
        )
    else:
        document = _each(options.devices, progress, work)
    for name, state in document.devices.items():
        if state.state == "removed" and not options.keep and name in inventory.read_inventory():
            inventory.forget(name)
    return document


def state_of(name: str, resource: Resource, device: Device) -> DeviceState:
    """What a device that was reached is."""
    check_python(name, device.facts)
    facts, installed, notes = device.facts, device.facts.environment, list[str]()
    if abs(skew := facts.time - time.time()) > SKEW_S:
        notes.append(f"its clock is {abs(skew) / 60:.0f} min {'ahead' if skew > 0 else 'behind'}")
    state: State = "ready"
    if installed is None and not device.is_here:
        state = "not set up"
        notes.append(f"dmformer device setup {name}")
    elif installed is not None and installed.source != source_digest():
        state = "outdated"
        notes.append(f"another dmformer than here: dmformer device setup {name}")
    return DeviceState(
        address=resource.address,
        state=state,
        python=facts.version,
        machine=facts.machine,
        dmformer=installed.version if installed else None,
        targets=installed.targets if installed else (),
        tags=resource.tags,
        notes=tuple(notes),
    )


def _each(
    words: tuple[str, ...], progress: Progress | None, work: Callable[[str, Resource, Device], DeviceState]
) -> DevicesDocument:
    """Does something on every device; one that fails does not stop the others."""
    states: dict[str, DeviceState] = {}
    for name, resource in inventory.chosen(words, inventory.read_inventory()).items():
        try:
            with Device(driver_of(name, resource), progress) as device:
                states[name] = work(name, resource, device)
        except DmformerError as error:
            said = tuple(line for line in (error.message, error.hint) if line)
            states[name] = _known(resource).model_copy(update={"state": "failed", "notes": said})
    return _document(states)


def _known(resource: Resource) -> DeviceState:
    return DeviceState(address=resource.address, state="known", tags=resource.tags)


def _document(devices: Mapping[str, DeviceState]) -> DevicesDocument:
    return DevicesDocument(file=str(inventory.devices_file()), devices=dict(devices))
