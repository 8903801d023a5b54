"""The charts of a report, drawn by matplotlib as SVG that takes its colours from the page.

Matplotlib knows nothing of dark pages: it draws in placeholder colours, which become CSS variables afterwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dmformer.errors import MissingBackendError
from dmformer.evaluation.latency.document import Layers, PartTime, Peaks, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GRID, PAPER = "#020201", "#020202", "#020203"
SERIES = tuple(f"#0301{index:02x}" for index in range(12))
VARIABLES = {INK: "--ink", GRID: "--grid", PAPER: "--paper", **{c: f"--series-{i}" for i, c in enumerate(SERIES)}}
WIDTH = 4.6
"""Inches of 72 units: narrow, so that the letters stay readable on a phone."""
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dmformer",
    "text.parse_math": False,
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
LABEL_LENGTH = 44


def color(index: int) -> str:
    """The placeholder of a series' colour."""
    return SERIES[index % len(SERIES)]


def short(text: str, length: int = LABEL_LENGTH) -> str:
    """A label that fits into a chart: printable, and cut where it is too long."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def require_matplotlib() -> None:
    """Raises `MissingBackendError` with the install command where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingBackendError(
            "the page's charts need matplotlib, which is not installed",
            "pip install 'dmformer[report]', or use --markdown alone",
        ) from error


def draw(name: str, title: str, height: float, paint: Callable[[Axes], None]) -> str:
    """One chart as an ``<svg>`` element that fits into any width and has a title for screen readers.

    Args:
        name: Unique on the page; made of letters, digits and hyphens.
        title: The alternative text.
        height: Inches.
        paint: Draws on the axes.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_the_page(buffer.getvalue(), name, title)


def _for_the_page(svg: str, name: str, title: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', body)
    head = f'<svg class="chart" viewBox="{box.group(1) if box else ""}" role="img" aria-labelledby="{name}-title">'
    body = re.sub(
        r"<svg[^>]*>", f'{head}<title id="{name}-title">{escape(title)}</title>', body, count=1, flags=re.DOTALL
    )
    for placeholder, variable in VARIABLES.items():
        body = body.replace(placeholder, f"var({variable})")
    # Identifiers must be unique on the page, and every chart brings the same ones.
    body = re.sub(rf'\bid="(?!{re.escape(name)}-title)([^"]*)"', rf'id="{name}-\1"', body)
    body = body.replace('xlink:href="#', f'href="#{name}-')
    return body.replace("url(#", f"url(#{name}-")


def _labels_above(axes: Axes, names: list[str]) -> None:
    """Candidates' names above their rows instead of beside them, where a phone has no room."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for row, name in enumerate(names):
        axes.text(0, row - 0.42, short(name), transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
    axes.set_ylim(len(names) - 0.4, -0.75)


def latency_chart(name: str, results: list[Result]) -> str:
    """The distribution of each candidate's calls, with its median and, where known, p90 and p99."""

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        for row, result in enumerate(results):
            edges = np.array(result.histogram.edges_ms)
            counts = np.array(result.histogram.counts, float)
            heights = np.repeat(0.5 * counts / max(counts.max(), 1), 2)
            axes.fill_between(
                np.repeat(edges, 2)[1:-1], row + 0.3, row + 0.3 - heights, color=color(row), alpha=0.55, linewidth=0
            )
            axes.plot([result.p50_ms] * 2, [row - 0.25, row + 0.3], color=INK, linewidth=1.4)
            for value, mark in ((result.p90_ms, "^"), (result.p99_ms, "D")):
                if value:
                    axes.plot([value], [row + 0.36], mark, color=color(row), markersize=5, clip_on=False)
        _labels_above(axes, [result.name for result in results])
        axes.set_xlabel("milliseconds, logarithmic (line p50, ▲ p90, ◆ p99)")
        _plain_ticks(axes, "x")
        axes.grid(axis="x")

    said = "; ".join(f"{short(result.name)}: median {result.p50_ms:.2f} ms" for result in results)
    return draw(name, f"Latency distributions. {said}.", 0.9 + 0.62 * len(results), paint)


def speedup_chart(name: str, results: list[Result]) -> str:
    """How many times as fast each candidate is, with the interval."""
    rated = [result for result in results if result.speedup is not None and result.speedup_ci is not None]

    def paint(axes: Axes) -> None:
        for row, result in enumerate(rated):
            ratio, (low, high) = result.speedup or 1.0, result.speedup_ci or (1.0, 1.0)
            axes.barh(row + 0.05, ratio, 0.42, color=color(results.index(result)), alpha=0.75)
            axes.plot([low, high], [row + 0.05] * 2, color=INK, linewidth=1.6, marker="|", markersize=9)
        axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        _labels_above(axes, [f"{short(result.name, 34)}: {result.speedup:.2f}x" for result in rated])
        axes.set_xlabel("times as fast (line: 99 % interval)")
        axes.grid(axis="x")

    said = "; ".join(f"{short(result.name)}: {result.speedup:.2f} times" for result in rated)
    return draw(name, f"Speed-up against the reference. {said}.", 0.9 + 0.62 * len(rated), paint)


def pareto_chart(name: str, results: list[Result]) -> str:
    """Accuracy against latency; lines join those that nobody beats in both, of one set of images each."""
    unit, points = qualities(results)
    sets = sets_of(result for result, _ in points)

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        for index, images in enumerate(sets):
            alike = [(result, value) for result, value in points if set_of(result) == images]
            for result, value in alike:
                number = results.index(result)
                axes.plot([result.p50_ms], [value], MARKERS[index % 4], color=color(number), markersize=9)
                place, by = (result.p50_ms, value), (7, 5)
                axes.annotate(str(number + 1), place, by, textcoords="offset points", fontsize=11, color=INK)
            best = frontier([(result.p50_ms, value) for result, value in alike])
            axes.step([x for x, _ in best], [y for _, y in best], where="post", color=INK, linewidth=1, alpha=0.6)
        values = [value for _, value in points]
        spread = max(max(values) - min(values), 0.5)
        axes.set_ylim(min(values) - 0.3 * spread, max(values) + 0.3 * spread)
        axes.set_xlabel("p50 milliseconds, logarithmic (left is faster)")
        axes.set_ylabel(unit)
        _plain_ticks(axes, "x")
        axes.margins(x=0.15)
        axes.grid()

    said = "; ".join(f"{short(result.name)}: {value:.2f} at {result.p50_ms:.2f} ms" for result, value in points)
    return draw(name, f"Accuracy ({unit}) against latency. {said}.", 3.2, paint)


MARKERS, SIGNS = "osD^", "●■◆▲"
"""One for each set of images, as matplotlib and as text have it."""


def qualities(results: list[Result]) -> tuple[str, list[tuple[Result, float]]]:
    """What accuracy is told in, and each candidate's: the headline figure that all have, else agreement in percent.

    Left out are those that have neither, and those whose time is no device's.
    """
    proofs = [(result, result.accuracy) for result in results if result.accuracy and not result.evaluated]
    shared = {proof.headline[0] if proof.headline else None for _, proof in proofs}
    if len(shared) == 1 and (figure := shared.pop()) is not None:
        scores = [(result, proof.headline[1].engine) for result, proof in proofs if proof.headline]
        return f"{figure.title}, {figure.unit}", scores
    agreements = [(result, proof.agreement * 100) for result, proof in proofs if proof.agreement is not None]
    return "agreement, %", agreements


def set_of(result: Result) -> tuple[str, int]:
    """The images that a candidate's accuracy was measured on: their name and how many they are."""
    return (result.accuracy.data, result.accuracy.images) if result.accuracy else ("", 0)


def sets_of(results: Iterable[Result]) -> list[tuple[str, int]]:
    """Each set of images among candidates, once."""
    return list(dict.fromkeys(map(set_of, results)))


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, value) pairs those that no other beats in both, by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def breakdown_chart(name: str, results: list[Result], parts: list[str]) -> str:
    """Share of the time that each part takes, a bar for each candidate."""
    profiled = [result for result in results if result.layers]

    def paint(axes: Axes) -> None:
        for row, result in enumerate(profiled):
            left = 0.0
            for part in result.layers.parts if result.layers else ():
                axes.barh(
                    row + 0.08, part.share * 100, 0.45, left=left, color=color(parts.index(part.part)), edgecolor=PAPER
                )
                left += part.share * 100
        _labels_above(axes, [result.name for result in profiled])
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the time, as the runtime's profiler tells")

    said = "; ".join(f"{short(result.name)}: " + _shares(result.layers) for result in profiled if result.layers)
    return draw(name, f"Time by part of the model. {said}.", 0.8 + 0.62 * len(profiled), paint)


def _shares(layers: Layers) -> str:
    return ", ".join(f"{part.part} {part.share:.0%}" for part in layers.parts)


def placeable(result: Result) -> list[PartTime]:
    """The parts that have a place in a roofline: those whose work, bytes and rate are known, and none of them 0."""
    parts = result.layers.parts if result.layers else ()
    return [part for part in parts if part.gmacs_per_s and part.macs and part.moved_bytes]


def roofline_chart(name: str, result: Result, peaks: Peaks, parts: list[str]) -> str:
    """Each part's rate against its intensity, under this machine's measured limits."""
    placed = placeable(result)

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        points = [((part.macs or 1) / (part.moved_bytes or 1), part.gmacs_per_s or 1.0) for part in placed]
        used = {max(part.precision, key=lambda kind: part.precision[kind], default="") for part in placed}
        limits = {kind: rate for kind, rate in peaks.gmacs_per_s.items() if kind in used}
        x = np.geomspace(min(p[0] for p in points) / 3, max(*(p[0] for p in points), 60) * 2, 60)
        for kind, rate in limits.items():
            axes.plot(x, np.minimum(rate, x * peaks.copy_gb_per_s), color=INK, linewidth=1.6)
            axes.plot(x, np.minimum(rate, x * peaks.cache_gb_per_s), color=INK, linewidth=1, linestyle=(0, (3, 2)))
            axes.annotate(
                f"{kind} {rate:.0f}", (x[-1], rate), (0, 4), textcoords="offset points", ha="right", fontsize=9
            )
        for part, point in zip(placed, points, strict=True):
            axes.plot(*point, "o", color=color(parts.index(part.part)), markersize=8)
        axes.set_xlabel("multiply-accumulates for each byte")
        axes.set_ylabel("10⁹ multiply-accumulates / s")
        _plain_ticks(axes, "x")
        _plain_ticks(axes, "y")
        axes.grid()

    said = "; ".join(f"{part.part} {part.gmacs_per_s:.1f} GMAC/s, {part.bound} bound" for part in placed)
    return draw(name, f"Roofline of {short(result.name)}. {said}.", 3.4, paint)


def _plain_ticks(axes: Axes, which: str) -> None:
    """Numbers as people write them on a logarithmic axis; only decades where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    axis.set_major_locator(LogLocator(10, steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
