"""The sections of the page, one function each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.devices import rows_of_devices
from dmformer.evaluation.latency.document import Document, Layers, Peaks, Result
from dmformer.evaluation.layers.parts import PARTS
from dmformer.evaluation.report import charts
from dmformer.evaluation.report.markup import Html, facts, figure, items, joined, number, table, tag
from dmformer.evaluation.report.material import Material, figures_among
from dmformer.tasks.base import Figure

MIB = 1 << 20
COLUMNS = (
    "Candidate", "executes", "p50 ms", "p90", "p95", "p99", "mean", "std", "CV", "images/s", "speed-up",
    "99 % interval",
)  # fmt: skip
START_COLUMNS = ("Candidate", "samples", "import ms", "compile ms", "first ms", "peak MiB", "engine MiB", "provider")


def latency(document: Document, name: str) -> Html:
    """Latencies as a table and as charts."""
    results = list(document.results)
    settings = document.settings
    parts: list[Html] = [
        tag("p", f"{settings.scenario}: {settings.boundary_text}. {how(document)}"),
        latency_table(results),
    ]
    devices = [result for result in results if not result.evaluated]
    figures = []
    if devices:
        chart = charts.latency_chart(f"{name}-latency", devices)
        figures.append(figure("How long a call takes", chart, "Every measured call is in it."))
    if any(result.speedup for result in results):
        reference = ", ".join(sorted({result.reference for result in results if result.reference}))
        figures.append(
            figure(
                "How many times as fast", charts.speedup_chart(f"{name}-speedup", results), f"Reference: {reference}."
            )
        )
    return joined([*parts, tag("div", *figures, class_="figures"), start_table(results), power_table(results)])


def devices(documents: Mapping[str, Document]) -> Html:
    """The same candidates in every measurement, a column for each."""
    rows = [(name, figure, *cells) for name, figure, cells in rows_of_devices(documents)]
    machines = [f"{name}: {one.environment.cpu}, {one.environment.os}" for name, one in documents.items()]
    caption = "A column for each measurement: medians"
    return table(caption, ("Candidate", "", *documents), rows, texts=(1,)) + items(machines)


def how(document: Document) -> str:
    """How the measurement was taken, in a sentence."""
    settings = document.settings
    fed = f"the image {settings.image}" if settings.image else "the bundles' golden samples"
    return (
        f"Each candidate ran in {settings.launches} fresh processes of {settings.rounds} slices each, in turn with the "
        f"others and in a shuffled order, on {fed}; threads: {settings.threads or 'the runtime chose'}. p90 is given "
        "from 64 samples up and p99 from 662, as MLPerf's early stopping computes them."
    )


def latency_table(results: list[Result]) -> Html:
    """Latency, throughput and speed-up."""
    rows = [
        (
            result.name,
            result.executes,
            f"{result.p50_ms:.3f}",
            number(result.p90_ms, "{:.3f}"),
            number(result.p95_ms, "{:.3f}"),
            number(result.p99_ms, "{:.3f}"),
            f"{result.mean_ms:.3f}",
            f"{result.std_ms:.3f}",
            f"{result.cv:.1%}",
            f"{result.throughput_ips:.1f}",
            result.versus if result.speedup is None else tag("strong", f"{result.speedup:.2f}×"),
            f"{result.speedup_ci[0]:.2f} to {result.speedup_ci[1]:.2f}" if result.speedup_ci else "",
        )
        for result in results
    ]
    return table("Latency and throughput, milliseconds of one call", COLUMNS, rows, texts=(1,))


def start_table(results: list[Result]) -> Html:
    """Starting, memory and size."""
    rows = [
        (
            result.name,
            result.samples,
            f"{result.import_ms:.0f}",
            f"{result.compile_ms:.0f}",
            f"{result.first_ms:.1f}",
            number(result.peak_rss_mb, "{:.0f}"),
            number(result.engine_bytes / MIB if result.engine_bytes else None, "{:.1f}"),
            result.provider,
        )
        for result in results
    ]
    return table("Starting, memory and size", START_COLUMNS, rows, texts=(7,))


def power_table(results: list[Result]) -> Html | str:
    """Power and energy, where a sensor on board told of them."""
    rows = [
        (
            result.name,
            *(f"{watts:.2f}" for watts in result.power.watts),
            *(f"{energy:.2f}" for energy in result.power.energy_mj),
            number(result.power.idle_w, "{:.2f}"),
            result.power.sensor + (f", {result.power.rate_hz:.0f}/s" if result.power.rate_hz else ""),
        )
        for result in results
        if result.power
    ]
    caption = "Power and energy of one call during the slices, by a sensor on board; idle is not subtracted"
    head = ("Candidate", "W min", "median", "max", "mJ min", "median", "max", "W idle", "sensor")
    return table(caption, head, rows, texts=(8,)) if rows else ""


def accuracy(material: Material) -> Html:
    """Every candidate's proof, and accuracy against latency."""
    results = material.results()
    records = material.proofs()
    if not records:
        return tag("p", "No candidate carries an accuracy proof.")
    figures = figures_among(record for _, record in records)
    titles = [title for figure in figures for title in (figure.label, "PyTorch")]
    head = ("Candidate", "verdict", *titles, "agreement", "SQNR dB", "images", "set")
    rows = [accuracy_row(name, record, figures) for name, record in records]
    grid = table("Accuracy as each bundle's own proof records it", head, rows, texts=(1, len(head) - 1))
    if not charts.qualities(results)[1]:
        return grid
    shown = [result for result, _ in charts.qualities(results)[1]]
    sets = charts.sets_of(shown)
    said = "Up and to the left is better; a line joins those that none beats in both"
    if len(sets) > 1:
        marks = ", ".join(f"{charts.SIGNS[index % 4]} {count} of {data}" for index, (data, count) in enumerate(sets))
        said += f", of one set of images: accuracy on different sets is not compared ({marks})"
    chart = figure(
        "Accuracy against latency",
        charts.pareto_chart("pareto", results),
        tag("p", f"{said}.") + key([(results.index(one), f"{results.index(one) + 1}: {one.name}") for one in shown]),
    )
    return grid + tag("div", chart, class_="figures")


def accuracy_row(name: str, record: Accuracy, figures: Sequence[Figure]) -> tuple[object, ...]:
    """One line of the accuracy table."""
    scores = [record.figures.get(figure.key) for figure in figures]
    verdict = (
        tag("span", "verified", class_="good") if record.verified else tag("span", "below tolerance", class_="bad")
    )
    return (
        name,
        verdict,
        *(number(value) for score in scores for value in ((score.engine, score.reference) if score else (None, None))),
        number(record.agreement, "{:.2%}"),
        "equal" if record.sqnr_db is None and record.max_abs_error is not None else number(record.sqnr_db, "{:.1f}"),
        record.images,
        record.data,
    )


def key(entries: list[tuple[int, str]]) -> Html:
    """The legend of a chart."""
    marks = [tag("i", style=f"background: var(--series-{index % 12})") + tag("span", name) for index, name in entries]
    return items(marks, class_="key")


def breakdown(document: Document, name: str) -> Html:
    """Where the time goes, and how far that is from the machine's limits."""
    profiled = [result for result in document.results if result.layers]
    if not profiled:
        return tag("p", "The runtimes were not asked where the time goes (bench without --no-layers asks them).")
    present = {part.part for result in profiled if result.layers for part in result.layers.parts}
    # Another version may know parts that this one does not: they come last.
    parts = [*(part for part in PARTS if part in present), *sorted(present - set(PARTS))]
    peaks = {peak.target: peak for peak in document.peaks}
    figures = [
        figure(
            "Where the time goes",
            charts.breakdown_chart(f"{name}-parts", profiled, parts),
            key([(index, part) for index, part in enumerate(parts)]),
        )
    ]
    for index, result in enumerate(profiled):
        shown = [part.part for part in charts.placeable(result)]
        if result.target in peaks and shown:
            chart = charts.roofline_chart(f"{name}-roof-{index}", result, peaks[result.target], parts)
            legend = key([(parts.index(part), part) for part in shown])
            text = tag("p", roofline_text(peaks[result.target]))
            figures.append(figure(f"Roofline: {result.name}", chart, legend + text))
    tables = [parts_table(result.name, result.layers) for result in profiled if result.layers]
    notes = items(document.notes) if document.notes else ""
    return joined([tag("div", *figures, class_="figures"), *tables, notes])


def roofline_text(peak: Peaks) -> str:
    """What the limits in a roofline are."""
    rates = ", ".join(f"{kind} {rate:.0f}" for kind, rate in peak.gmacs_per_s.items())
    return (
        f"Measured on this machine through {peak.target}: 10⁹ multiply-accumulates a second: {rates}; copying memory "
        f"{peak.copy_gb_per_s:.1f} GB/s (solid line), within the caches {peak.cache_gb_per_s:.1f} GB/s (dashed)."
    )


def parts_table(name: str, layers: Layers) -> Html:
    """Every part of one candidate, folded away."""
    rows = [
        (
            part.part,
            f"{part.ms:.3f}",
            f"{part.share:.1%}",
            ", ".join(f"{kind} {share:.0%}" if share < 0.995 else kind for kind, share in part.precision.items()),
            number(part.gmacs_per_s or None, "{:.1f}"),
            part.verdict,
        )
        for part in layers.parts
    ]
    head = ("Part", "ms", "share", "precision", "GMAC/s", "of this machine's peak")
    caption = f"{name}: {layers.source}" + (f"; {layers.note}" if layers.note else "")
    return tag("details", tag("summary", f"{name}: every part"), table(caption, head, rows, texts=(3, 5)))


def environment(document: Document) -> Html:
    """The machine and its libraries."""
    machine, heat = document.environment, document.temperature
    frequency = (
        f"{machine.frequency_mhz[0]:.0f} to {machine.frequency_mhz[1]:.0f} MHz" if machine.frequency_mhz else None
    )
    gib = 1 << 30
    return facts(
        [
            ("CPU", f"{machine.cpu}, {machine.cores} of {machine.cores_online} cores"),
            ("instruction sets", ", ".join(machine.cpu_isa)),
            ("frequency", ", ".join(filter(None, [machine.governor, frequency]))),
            ("memory", f"{machine.memory_bytes / gib:.1f} GiB" if machine.memory_bytes else None),
            ("GPU", machine.gpu),
            *((f"Jetson {name}", value) for name, value in machine.jetson.items()),
            ("system", machine.os),
            ("runs in", machine.virtual),
            ("power", machine.power),
            ("temperature", heat and f"{heat.before:.0f} to {heat.highest:.0f} °C, {heat.after:.0f} °C at the end"),
            ("power draw", document.no_power and f"not readable, because {document.no_power}"),
            ("CPU limit", f"{machine.cpu_limit:g} cores" if machine.cpu_limit else None),
            ("thread variables", ", ".join(f"{name}={value}" for name, value in machine.thread_variables.items())),
            ("memory limit", f"{machine.memory_limit_bytes / gib:.1f} GiB" if machine.memory_limit_bytes else None),
            ("Python", machine.python),
            ("packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items())),
        ]
    )
