"""``dmformer export --on``: exported here; built, verified and measured there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import read_manifest
from dmformer.devices.device import Device
from dmformer.devices.resource import Resource
from dmformer.errors import DeviceError, DmformerError
from dmformer.pipeline.building import for_device
from dmformer.pipeline.exporting import ExportDocument, OnDevice, export
from dmformer.pipeline.fleet import Failure, on_fleet
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.requests import BenchOptions, BuildOptions, VerifyOptions
from dmformer.pipeline.travelling import Errand, travel
from dmformer.progress import Progress
from dmformer.targets import get_target

if TYPE_CHECKING:
    from dmformer.terminal import Together


def export_on(options: ExportOptions, devices: Mapping[str, Resource], together: Together) -> ExportDocument:
    """Exports here, then builds what is built on a device, verifies and measures on each of them.

    An engine that was built there is brought here, into a bundle with the device's name behind that of the one it was
    made from.

    Raises:
        DmformerError: The export itself failed; what fails on a device is in the document.
    """
    document = export(options, together.of("here"))
    bundles = [Path(record["path"]) for record in document.bundles]

    def work(device: Device, progress: Progress) -> OnDevice:
        return prove(device, bundles, options, progress)

    outcomes = on_fleet(devices, work, together.of)
    proven = {
        name: OnDevice(failures=(Failure.of(one),)) if isinstance(one, DmformerError) else one
        for name, one in outcomes.items()
    }
    return document.model_copy(update={"devices": proven})


def prove(device: Device, bundles: list[Path], options: ExportOptions, progress: Progress) -> OnDevice:
    """Builds, verifies and measures bundles on a device; one that cannot run there does not keep the others from it.

    Raises:
        DeviceError: The device was lost.
    """
    proofs, measured, failures = list[dict[str, Any]](), list[Path](), list[Failure]()
    for bundle in bundles:
        try:
            errand, place = errand_of(device.name, bundle, options)
            proofs.append(travel(device, errand, progress).model_dump(mode="json", by_alias=True))
            measured.append(place)
        except DeviceError:
            raise
        except DmformerError as error:
            failures.append(Failure.of(error))
    latency = measure(device, measured, progress) if measured else None
    return OnDevice(bundles=tuple(proofs), latency=latency, failures=tuple(failures))


def errand_of(name: str, bundle: Path, options: ExportOptions) -> tuple[Errand, Path]:
    """What is done with a bundle on a device of that name, and the bundle that is measured then."""
    if not get_target(read_manifest(bundle).target).builds_later:
        verify = VerifyOptions(bundle, options.data, options.max_images, options.masks)
        return Errand("dmformer.pipeline.verifying:verify", verify), bundle
    place = bundle.with_name(f"{bundle.name}-{name}")
    build = for_device(BuildOptions(bundle, output=place, force=options.force))
    return Errand("dmformer.pipeline.building:build", build, made=("output",), measures=True), place


def measure(device: Device, bundles: list[Path], progress: Progress) -> dict[str, Any]:
    """Measures bundles side by side on a device: a ``dmformer.bench`` document."""
    request = BenchOptions(tuple(bundles), against="none")
    errand = Errand("dmformer.pipeline.measurement:bench", request, measures=True)
    document: dict[str, Any] = travel(device, errand, progress).model_dump(mode="json", by_alias=True)
    return document
