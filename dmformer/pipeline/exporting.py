"""What ``dmformer export`` does: bundles, and a document about them."""

from __future__ import annotations

from typing import Any, Literal

from dmformer.documents import Document, schema
from dmformer.fields import Strict
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.fleet import Failure
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import left_out
from dmformer.progress import Progress
from dmformer.summary import summarize


class OnDevice(Strict):
    """What became of the bundles on a device.

    Attributes:
        bundles: What ``verify`` or ``build`` answered there, for each.
        latency: What ``bench`` answered; None where nothing could be measured.
        failures: What could not be done there, and why.
    """

    bundles: tuple[dict[str, Any], ...] = ()
    latency: dict[str, Any] | None = None
    failures: tuple[Failure, ...] = ()


class ExportDocument(Document):
    """The figures of each bundle, see `dmformer.summary.summarize`; for INT8 also whether it is worth it here.

    Attributes:
        left_out: The targets that ``all`` did not stand for here, and why.
        devices: With ``--on``: what became of them there, by the names of the devices.
    """

    schema_: Literal["dmformer.export/2"] = schema("dmformer.export/2")
    bundles: tuple[dict[str, Any], ...]
    left_out: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

    devices: dict[str, OnDevice] = {}  # noqa: RUF012 - likewise

    @property
    def within_tolerance(self) -> bool:
        there = [record for device in self.devices.values() for record in device.bundles]
        return all(record["verified"] is not False for record in (*self.bundles, *there))

    @property
    def answered(self) -> bool:
        return not any(device.failures for device in self.devices.values())


def export(options: ExportOptions, progress: Progress | None = None) -> ExportDocument:
    """Exports, builds and verifies an engine for every target.

    Raises:
        DmformerError: See `dmformer.pipeline.export.export_bundles`.
    """
    outcomes = export_bundles(None, options, progress)
    records = [
        summarize(outcome.bundle, outcome.proof)
        | {"int8_verdict": outcome.verdict.to_json() if outcome.verdict else None}
        for outcome in outcomes
    ]
    return ExportDocument(bundles=tuple(records), left_out=left_out(options.targets))
