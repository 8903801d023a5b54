"""What ``dmformer export`` does: bundles, and a document about them."""

from __future__ import annotations

from typing import Any, Literal

from dmformer.documents import Document, schema
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import left_out
from dmformer.progress import Progress
from dmformer.summary import summarize


class ExportDocument(Document):
    """The figures of each bundle, see `dmformer.summary.summarize`; for INT8 also whether it is worth it here.

    Attributes:
        left_out: The targets that ``all`` did not stand for here, and why.
    """

    schema_: Literal["dmformer.export/2"] = schema("dmformer.export/2")
    bundles: tuple[dict[str, Any], ...]
    left_out: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it

    @property
    def within_tolerance(self) -> bool:
        return all(record["verified"] for record in self.bundles)


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
