"""The report as Markdown, for a merge request, and as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from dmformer.evaluation.latency.devices import rows_of_devices
from dmformer.evaluation.report.markup import number
from dmformer.evaluation.report.material import Examined, Material, figures_among

FIELDS = (
    "name", "target", "precision", "executes", "batch", "samples", "p50_ms", "p90_ms", "p95_ms", "p99_ms",
    "mean_ms", "std_ms", "cv", "throughput_ips", "load_ms", "compile_ms", "first_ms", "peak_rss_mb", "engine_bytes",
    "reference", "speedup",
)  # fmt: skip


def markdown(material: Material) -> str:
    """Tables of latency, accuracy and parts, and the environment."""
    parts = [f"# {_cell(material.title)}"]
    names = material.machines()
    if len(names) > 1:
        beside = dict(zip(names, material.documents, strict=True))
        side_by_side = [(name, figure, *cells) for name, figure, cells in rows_of_devices(beside)]
        parts.append(_table(("Candidate", "", *names), side_by_side))
    for document in material.documents:
        machine = document.environment
        device = f"{_cell(document.device)}: " if document.device else ""
        parts.append(
            f"{_cell(document.settings.scenario)}: {_cell(document.settings.boundary_text)}.  \n{device}"
            f"{_cell(machine.cpu)}, {machine.cores} cores, {_cell(machine.os)}, {_cell(document.taken_at)}"
        )
        parts += [f"> {_cell(line)}" for line in document.warnings]
        headline = next(
            (figure.label for figure in figures_among(result.accuracy for result in document.results)), "accuracy"
        )
        head = ("Candidate", "executes", "p50 ms", "p90", "p99", "images/s", "speed-up", "99 % interval", headline)
        rows = [
            (
                result.name,
                result.executes,
                f"{result.p50_ms:.3f}",
                number(result.p90_ms, "{:.3f}"),
                number(result.p99_ms, "{:.3f}"),
                f"{result.throughput_ips:.1f}",
                result.versus,
                f"{result.speedup_ci[0]:.2f} to {result.speedup_ci[1]:.2f}" if result.speedup_ci else "",
                number(result.accuracy.headline[1].engine if result.accuracy and result.accuracy.headline else None),
            )
            for result in document.results
        ]
        parts.append(_table(head, rows))
        for result in document.results:
            if result.layers:
                shares = [(p.part, f"{p.ms:.3f}", f"{p.share:.1%}", p.verdict) for p in result.layers.parts]
                parts.append(f"**{_cell(result.name)}**: where the time goes ({_cell(result.layers.source)})")
                parts.append(_table(("part", "ms", "share", "of this machine's peak"), shares))
    parts += [part for bundle in material.examined for part in _changed(bundle)]
    return "\n\n".join(parts) + "\n"


def _changed(bundle: Examined) -> Iterator[str]:
    """The changed answers of a bundle, and what each class lost."""
    flips = bundle.flips
    yield f"**{_cell(bundle.name)}**: {flips.count} of {flips.images} answers on {_cell(flips.data)} changed"
    if bundle.by_class:
        scores = [(name, number(score.reference), number(score.engine)) for name, score in bundle.scored]
        yield _table(("class", "PyTorch IoU %", "engine IoU %"), scores)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """Text that ends neither its cell nor its line, and starts no markup."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in str(value))
    for letter in ("\\", "|", "`", "[", "]", "*", "<", ">"):
        clean = clean.replace(letter, {"<": "&lt;", ">": "&gt;"}.get(letter, f"\\{letter}"))
    return clean


def comma_separated(material: Material) -> str:
    """One line for each candidate. A name that a spreadsheet would take for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    figures = figures_among(result.accuracy for result in material.results())
    keys = [figure.key for figure in figures]
    writer.writerow([*FIELDS, "speedup_low", "speedup_high", *keys, "agreement", "sqnr_db"])
    for result in material.results():
        low, high = result.speedup_ci or (None, None)
        proof = result.accuracy
        scores = [proof.figures[key].engine if proof and key in proof.figures else None for key in keys]
        own = [*scores, proof.agreement, proof.sqnr_db] if proof else [*scores, None, None]
        writer.writerow([_harmless(value) for value in [*(getattr(result, name) for name in FIELDS), low, high, *own]])
    return buffer.getvalue()


def _harmless(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
