"""The report as one HTML page that needs nothing else: no script, no network, no second file."""

from __future__ import annotations

from importlib.resources import files

from dmformer.errors import OutputError
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.report import answers, sections
from dmformer.evaluation.report.charts import require_matplotlib
from dmformer.evaluation.report.headline import headline
from dmformer.evaluation.report.markup import Html, items, joined, tag, text
from dmformer.evaluation.report.material import Material

MAX_BYTES = 2_000_000
GENERATOR = '<meta name="generator" content="dmformer report">'
"""What a later report knows the page by, and may therefore replace it."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Should anything ever slip through the escaping, the browser still loads and runs nothing."""


def page(material: Material) -> str:
    """The whole page.

    Raises:
        MissingBackendError: Matplotlib is not installed.
        OutputError: It would be larger than 2 MB.
    """
    require_matplotlib()
    content = body(material.shortened())
    style = files("dmformer.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    head = (
        f'<meta charset="utf-8">{GENERATOR}<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"{tag('title', material.title)}<style>{style}</style>"
    )
    whole = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{content}</body></html>\n'
    if len(whole.encode()) > MAX_BYTES:
        raise OutputError(
            f"the page would be larger than {MAX_BYTES // 1_000_000} MB", "report on fewer measurements or bundles"
        )
    return whole


def body(material: Material) -> Html:
    """Everything that is to be seen."""
    chapters = list(chapters_of(material))
    links = [tag("a", title, href=f"#{name}") for name, title, _ in chapters]
    return (
        tag("a", "Skip to the report", href="#report", class_="skip")
        + tag("header", tag("h1", material.title), headline(material))
        + tag("nav", items(links), aria_label="Sections")
        + tag(
            "main",
            *(tag("section", tag("h2", title), content, id=name) for name, title, content in chapters),
            id="report",
        )
    )


def chapters_of(material: Material) -> list[tuple[str, str, Html]]:
    """Anchor, title and content of each section."""
    names = material.machines()
    several = len(names) > 1
    measured = [
        (index, f" ({name})" if several else "", document)
        for index, (name, document) in enumerate(zip(names, material.documents, strict=True), 1)
    ]
    parts: list[tuple[str, str, Html]] = []
    if several:
        parts.append(("devices", "Side by side", sections.devices(dict(zip(names, material.documents, strict=True)))))
    for index, behind, document in measured:
        parts.append((f"latency-{index}", f"Latency{behind}", sections.latency(document, f"m{index}")))
    parts.append(("accuracy", "Accuracy", sections.accuracy(material)))
    for index, behind, document in measured:
        parts.append((f"parts-{index}", f"What really executed{behind}", sections.breakdown(document, f"b{index}")))
    if material.examined:
        changed = joined(answers.changes(bundle) for bundle in material.examined)
        parts.append(("changes", "Changed answers", changed))
    for index, behind, document in measured:
        parts.append((f"environment-{index}", f"Environment{behind}", sections.environment(document)))
    parts.append(("again", "How to reproduce", reproduce(list(material.documents))))
    return parts


def reproduce(documents: list[Document]) -> Html:
    """The commands, and what a bundle is known by."""
    lines = [document.command for document in documents if document.command]
    digests = [
        f"{result.name}: manifest SHA-256 {result.bundle_sha256}"
        for document in documents
        for result in document.results
        if result.bundle_sha256
    ]
    return tag("pre", tag("code", *lines_of(lines))) + tag("p", "The bundles that were measured:") + items(digests)


def lines_of(commands: list[str]) -> list[Html]:
    """Commands, each in a line of its own."""
    return [text(command) + Html("\n") for command in commands]
