"""``--on``: a command on other machines, shown as if it had run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from dmformer.targets import load

if TYPE_CHECKING:
    from dmformer.devices.device import Device
    from dmformer.documents import Document
    from dmformer.errors import DmformerError
    from dmformer.pipeline.fleet import FleetDocument
    from dmformer.progress import Progress


ON = Annotated[
    list[str],
    typer.Option(
        "--on",
        help="Run it on a device: user@host, a name of `dmformer device`, tag:NAME or all. Several run at once.",
        show_default=False,
        metavar="DEVICE",
        rich_help_panel="Another machine",
    ),
]


@dataclass(frozen=True)
class Travels:
    """How a command runs on another machine: see `dmformer.pipeline.travelling.Errand`.

    Attributes:
        made: Names of options whose files are made there and brought here.
        stays: Names of options that are read here.
        measures: Nothing else may be measured there meanwhile.
        prepare: A function, as ``module:name``, that gives the request that is sent, and refuses what cannot be.
        by: A function, as ``module:name``, of the request, the devices and what watches them, that does all of it.
        show: Shows the documents of several devices, by their names; None shows one after another.
    """

    made: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    measures: bool = False
    prepare: str | None = None
    by: str | None = None
    show: Callable[[Mapping[str, Any]], None] | None = None


class Command(Protocol):
    """What is needed of a `dmformer.cli.declare.Command`."""

    @property
    def name(self) -> str: ...

    @property
    def run(self) -> str: ...

    @property
    def show(self) -> Callable[[Any], None]: ...

    @property
    def travels(self) -> Travels | None: ...

    def told(self, request: Any, document: Document, json: bool, show: Callable[[Any], None]) -> int: ...


def deliver_on(command: Command, request: Any, words: Sequence[str], json: bool) -> int:
    """Runs a request on devices and shows what came of it; the exit code.

    One that is named by itself answers with the command's own document; several, or a group, with a
    `dmformer.pipeline.fleet.FleetDocument`.

    Raises:
        DmformerError: The only device could not answer; see `dmformer.devices.inventory.chosen`.
    """
    from dmformer.devices.inventory import chosen, is_group, read_inventory
    from dmformer.pipeline.fleet import fleet_document, on_device, on_fleet
    from dmformer.pipeline.travelling import Errand, travel
    from dmformer.terminal import Together

    travels = command.travels
    assert travels is not None  # noqa: S101 - else there is no --on
    devices = chosen(words, read_inventory())
    request = load(travels.prepare)(request) if travels.prepare else request
    errand = Errand(command.run, request, travels.made, travels.stays, travels.measures)
    alone = len(devices) == 1 and not any(map(is_group, words))

    def work(device: Device, progress: Progress) -> Document:
        document: Document = travel(device, errand if alone else errand.among_several(device.name), progress)
        return document

    with Together() as together:
        if travels.by is not None:
            return command.told(request, load(travels.by)(request, devices, together), json, command.show)
        if alone:
            name, resource = next(iter(devices.items()))
            document = on_device(name, resource, work, together.of(name))
        else:
            outcomes = on_fleet(devices, work, together.of)
    if alone:
        return command.told(request, document, json, command.show)
    return command.told(request, fleet_document(command.name, outcomes), json, partial(show, command, outcomes))


def show(command: Command, outcomes: Mapping[str, Document | DmformerError], document: FleetDocument) -> None:
    """What every device answered, and which could not."""
    from dmformer.cli.output import console, escaped, print_failures

    documents: dict[str, Any] = {name: one for name, one in outcomes.items() if name in document.documents}
    together = command.travels.show if command.travels else None
    if together is not None and documents:
        together(documents)
    for name, one in documents.items() if together is None else ():
        console().print(f"\n[bold]{escaped(name)}[/bold]")
        command.show(one)
    for name, failure in document.failures.items():
        print_failures(name, [failure])
