"""``dmformer report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmformer.cli import options

PAGES = (".html", ".htm")
EXAMPLES = (
    ("dmformer report report.html bench.json", "one page, to be opened by any browser"),
    ("dmformer report report.html bench.json build/*", "with the images on which answers changed"),
    ("dmformer report report.html bench.json --markdown --csv", "report.md and report.csv beside it"),
)


def report(  # noqa: PLR0913 - one parameter for each option
    out: Annotated[Path, typer.Argument(help="The page to write: OUT.html.", show_default=False)],
    inputs: Annotated[
        list[Path], typer.Argument(help="JSON of bench, and bundles whose changed answers to show.", show_default=False)
    ],
    title: Annotated[str | None, typer.Option("--title", help="Of the page.", show_default="the model's name")] = None,
    data: options.Data = None,
    max_images: options.MaxImages = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="The bundles' weights, for PyTorch's answers on --data.", show_default=False),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Also write OUT.md.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Also write OUT.csv.")] = False,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write the page itself; needs matplotlib.")] = True,
    force: options.ForceFile = False,
    json: options.Json = False,
) -> int:
    """Make one self-contained page from measurements: latency, accuracy, where the time goes, and the machine."""
    from dmformer.cli.output import TerminalProgress, console, escaped, print_json
    from dmformer.evaluation.report.charts import require_matplotlib
    from dmformer.evaluation.report.page import GENERATOR, page
    from dmformer.evaluation.report.plain import comma_separated
    from dmformer.evaluation.report.plain import markdown as as_markdown
    from dmformer.files import check_output, marked, write_output
    from dmformer.pipeline.reporting import Inputs, gather

    if html:
        require_matplotlib()
    check_name(out, html)
    every = [
        (html, out, page, marked(GENERATOR)),
        (markdown, out.with_suffix(".md"), as_markdown, None),
        (csv, out.with_suffix(".csv"), comma_separated, None),
    ]
    wanted = [(path, make, ours) for asked, path, make, ours in every if asked]
    for path, _, ours in wanted:
        check_output(path, ours, force, [*inputs, *filter(None, (data, weights))], "OUT")
    material = gather(Inputs(tuple(inputs), data, max_images, weights, title), TerminalProgress())
    for path, make, ours in wanted:
        write_output(path, make(material).encode(), ours, force, "OUT")
        console().print(f"written: [bold]{escaped(str(path))}[/bold]")
    if json:
        print_json("dmformer.report/1", material.to_json())
    return 0


def check_name(out: Path, html: bool) -> None:
    """Refuses a page whose name is no page's: it was left out, and a measurement stands in its place.

    Raises:
        OutputError: It has no name, or another suffix; a device or a FIFO may be called anything.
    """
    from dmformer.errors import OutputError
    from dmformer.files import utf8_name

    utf8_name(out, "choose another OUT")
    special = out.exists() and not (out.is_file() or out.is_dir())
    if not out.name or (html and not special and out.suffix.lower() not in PAGES):
        raise OutputError(f"{out}: is no name of a page", "write: dmformer report report.html bench.json")
