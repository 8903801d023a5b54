"""``dmformer report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.requests import ReportOptions

if TYPE_CHECKING:
    from dmformer.pipeline.report_files import ReportDocument


def show(document: ReportDocument) -> None:
    """The files that were written."""
    from dmformer.cli.output import console, escaped

    for path in document.written:
        console().print(f"written: [bold]{escaped(path)}[/bold]")


REPORT = Command(
    "report",
    ReportOptions,
    "dmformer.pipeline.report_files:report",
    show,
    "Make one self-contained page from measurements: latency, accuracy, where the time goes, and the machine.",
    (
        ("dmformer report report.html bench.json", "one page, to be opened by any browser"),
        ("dmformer report report.html bench.json build/*", "with the images on which answers changed"),
        ("dmformer report report.html bench.json --markdown --csv", "report.md and report.csv beside it"),
    ),
)
