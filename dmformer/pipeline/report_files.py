"""What ``dmformer report`` does: one page from measurements, and the same as Markdown and as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dmformer.documents import Document, schema
from dmformer.errors import OutputError
from dmformer.evaluation.report.charts import require_matplotlib
from dmformer.evaluation.report.material import Material
from dmformer.evaluation.report.page import GENERATOR, page
from dmformer.evaluation.report.plain import comma_separated, markdown
from dmformer.files import Ours, check_output, marked, utf8_name, write_output
from dmformer.pipeline.reporting import gather
from dmformer.pipeline.requests import ReportOptions
from dmformer.progress import Progress, Silent

PAGES = (".html", ".htm")
Kind = tuple[Path, Callable[[Material], str], Ours | None]
"""A file to write, what makes its text, and what knows one that this made before."""


class ReportDocument(Document):
    """All that the page is made of, without images, and the files that were written."""

    schema_: Literal["dmformer.report/2"] = schema("dmformer.report/2")
    title: str
    measurements: tuple[dict[str, Any], ...]
    bundles: tuple[dict[str, Any], ...]
    written: tuple[str, ...]


def report(options: ReportOptions, progress: Progress | None = None) -> ReportDocument:
    """Writes a report.

    Raises:
        OutputError: A file cannot be written, or is no name of a page.
        DmformerError: See `dmformer.pipeline.reporting.gather`.
    """
    if options.html:
        require_matplotlib()
    check_name(options.out, options.html)
    files = kinds(options)
    inputs = [*options.inputs, *filter(None, (options.data, options.weights))]
    for path, _, ours in files:
        check_output(path, ours, options.force, inputs, "OUT")
    material = gather(options, progress or Silent())
    for path, make, ours in files:
        write_output(path, make(material).encode(), ours, options.force, "OUT")
    return ReportDocument(**material.to_json(), written=tuple(str(path) for path, _, _ in files))


def kinds(options: ReportOptions) -> list[Kind]:
    """The files that were asked for."""
    out = options.out
    every: list[tuple[bool, Kind]] = [
        (options.html, (out, page, marked(GENERATOR))),
        (options.markdown, (out.with_suffix(".md"), markdown, None)),
        (options.csv, (out.with_suffix(".csv"), comma_separated, None)),
    ]
    return [kind for wanted, kind in every if wanted]


def check_name(out: Path, html: bool) -> None:
    """Refuses a page whose name is no page's: it was left out, and a measurement stands in its place.

    Raises:
        OutputError: It has no name, or another suffix; a device or a FIFO may be called anything.
    """
    utf8_name(out, "choose another OUT")
    special = out.exists() and not (out.is_file() or out.is_dir())
    if not out.name or (html and not special and out.suffix.lower() not in PAGES):
        raise OutputError(f"{out}: is no name of a page", "write: dmformer report report.html bench.json")
