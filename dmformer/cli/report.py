"""``dmformer report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmformer.cli import options

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
    json: options.Json = False,
) -> int:
    """Make one self-contained page from measurements: latency, accuracy, where the time goes, and the machine."""
    from dmformer.cli.bench import write
    from dmformer.cli.output import TerminalProgress, console, print_json
    from dmformer.evaluation.report.charts import require_matplotlib
    from dmformer.evaluation.report.page import page
    from dmformer.evaluation.report.plain import comma_separated
    from dmformer.evaluation.report.plain import markdown as as_markdown
    from dmformer.pipeline.reporting import Inputs, gather

    if html:
        require_matplotlib()
    material = gather(Inputs(tuple(inputs), data, max_images, weights, title), TerminalProgress())
    wanted = [
        (html, out, page),
        (markdown, out.with_suffix(".md"), as_markdown),
        (csv, out.with_suffix(".csv"), comma_separated),
    ]
    for asked, path, make in wanted:
        if asked:
            write(path, make(material))
            console().print(f"written: [bold]{path}[/bold]", markup=True)
    if json:
        print_json("dmformer.report/1", material.to_json())
    return 0
