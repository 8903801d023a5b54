"""Work on several devices at once: a device that fails does not stop the others, and is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

from dmformer.devices.device import Device, Driver, driver_of
from dmformer.devices.resource import Resource
from dmformer.documents import Document, schema
from dmformer.errors import DmformerError
from dmformer.fields import Strict
from dmformer.progress import Progress

T = TypeVar("T")
Watch = Callable[[str], Progress]
"""Gives what watches the work on a device of that name."""
Work = Callable[[Device, Progress], T]


class Failure(Strict):
    """Why a device could not answer, and how to mend it."""

    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: DmformerError) -> Failure:
        """What an error says."""
        return cls(message=error.message, hint=error.hint)


class FleetDocument(Document):
    """What every device answered to one command.

    Attributes:
        command: Its name.
        documents: The command's own documents, by the names of the devices.
        failures: Devices that could not answer.
        passed: Whether all that answered are within their tolerance.
    """

    schema_: Literal["dmformer.fleet/1"] = schema("dmformer.fleet/1")
    command: str
    documents: dict[str, dict[str, Any]]
    failures: dict[str, Failure] = {}  # noqa: RUF012 - pydantic copies it
    passed: bool = True

    @property
    def within_tolerance(self) -> bool:
        return self.passed

    @property
    def answered(self) -> bool:
        return not self.failures


def on_device(name: str, resource: Resource, work: Work[T], progress: Progress) -> T:
    """Does something on one device.

    Raises:
        DmformerError: It cannot be reached, or what the work raises.
    """
    with Device(driver_of(name, resource), progress) as device:
        return work(device, progress)


def on_fleet(devices: Mapping[str, Resource], work: Work[T], watch: Watch) -> dict[str, T | DmformerError]:
    """Does something on all devices at once: what came of it on each, or why it could not, in the order given.

    They are logged into one after another, so that no two ask their questions at once.
    """
    outcomes: dict[str, T | DmformerError] = {}
    drivers = {name: driver_of(name, resource) for name, resource in devices.items()}
    for name, driver in drivers.items():
        try:
            driver.connect()
        except DmformerError as error:
            outcomes[name] = error
    fleet = _Fleet(work, watch)
    with ExitStack() as kept:
        pool = kept.enter_context(ThreadPoolExecutor(max(1, len(devices))))
        # Before the pool waits for its work, on Ctrl-C too.
        kept.callback(fleet.stop)
        todo = {name: pool.submit(fleet.work, one) for name, one in drivers.items() if name not in outcomes}
        outcomes |= {name: done.result() for name, done in todo.items()}
    return {name: outcomes[name] for name in devices}


class _Fleet(Generic[T]):
    """The connections that are open, so that all can be closed at once."""

    def __init__(self, work: Work[T], watch: Watch) -> None:
        self._work, self._watch, self._lock = work, watch, Lock()
        self._open: list[Device] = []

    def work(self, driver: Driver) -> T | DmformerError:
        progress = self._watch(driver.name)
        try:
            with Device(driver, progress) as device:
                with self._lock:
                    self._open.append(device)
                return self._work(device, progress)
        except DmformerError as error:
            return error

    def stop(self) -> None:
        with self._lock:
            for device in self._open:
                device.close()


def fleet_document(command: str, outcomes: Mapping[str, Document | DmformerError]) -> FleetDocument:
    """What all devices answered, as one document."""
    documents = {name: one for name, one in outcomes.items() if isinstance(one, Document)}
    return FleetDocument(
        command=command,
        documents={name: one.model_dump(mode="json", by_alias=True) for name, one in documents.items()},
        failures={name: Failure.of(one) for name, one in outcomes.items() if isinstance(one, DmformerError)},
        passed=all(one.within_tolerance for one in documents.values()),
    )
