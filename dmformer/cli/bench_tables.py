"""What ``dmformer bench`` shows: tables that fit into 80 columns, with the names that trtexec and benchmark_app use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dmformer.cli.output import escaped
from dmformer.evaluation.latency.names import short_names

if TYPE_CHECKING:
    from rich.table import Table

    from dmformer.evaluation.latency.document import Document, Layers

LONGEST_NAME = 20


def show(document: Document) -> None:
    """The document for people."""
    from dmformer.cli.output import console

    out = console()
    settings, machine = document.settings, document.environment
    out.print()
    out.print(f"[bold]{escaped(settings.scenario)}[/bold]: {escaped(settings.boundary_text)}")
    models = ", ".join(dict.fromkeys(result.model for result in document.results))
    out.print(f"{escaped(models)} on {escaped(machine.cpu)}, {machine.cores:d} cores")
    out.print(
        f"threads: {escaped(str(settings.threads or 'the runtime chooses'))}; "
        f"{settings.launches:d} launches of {settings.rounds:d} slices in turn"
    )
    for grid in (latency_table(document), speed_table(document), start_table(document), power_table(document)):
        if grid is not None:
            out.print(grid)
    for result in document.results:
        if result.layers:
            out.print(parts_table(result.name, result.layers))
    names = short_names(document.results)
    print_lines(tuple(f"{names[r.name]}: {note}" for r in document.results for note in r.notes), "[yellow]![/yellow]")
    print_lines(document.warnings, "[yellow]![/yellow]")
    print_lines((*document.notes, *strain_lines(document)), "[dim]•[/dim]")


def show_devices(documents: Mapping[str, Document]) -> None:
    """One table of all devices, a column for each, and what is to be known of them."""
    from dmformer.cli.output import console, table
    from dmformer.evaluation.latency.devices import rows_of_devices

    out = console()
    first = next(iter(documents.values()))
    out.print(f"\n[bold]{escaped(first.settings.scenario)}[/bold]: {escaped(first.settings.boundary_text)}")
    for name, document in documents.items():
        machine = document.environment
        out.print(f"[bold]{escaped(name)}[/bold]: {escaped(machine.cpu)}, {machine.cores:d} cores")
    columns = [f">{escaped(name)}" for name in documents]
    grid = table("Side by side", "Candidate", "", *columns)
    for candidate, figure, cells in rows_of_devices(documents):
        grid.add_row(escaped(candidate), escaped(figure), *map(escaped, cells))
    out.print(grid)
    for name, document in documents.items():
        said = [*document.warnings, *document.notes]
        said += [f"{result.name}: {note}" for result in document.results for note in result.notes]
        print_lines(tuple(f"{name}: {line}" for line in said), "[yellow]![/yellow]")


def named(names: dict[str, str], title: str | None, *columns: str) -> Table:
    """A table whose first column holds these names, and folds only where one is long."""
    from dmformer.cli.output import table

    grid = table(title, *columns)
    grid.columns[0].no_wrap = max(map(len, names.values())) <= LONGEST_NAME
    return grid


def digits(value: float | None) -> str:
    """Milliseconds with four digits that count, a dash for None."""
    return "-" if value is None else f"{value:.{max(0, 3 - len(str(int(value))) + (value < 1))}f}"


def latency_table(document: Document) -> object:
    """The distribution of a call's time."""
    names = short_names(document.results)
    grid = named(names, "Latency, ms", "Candidate", ">p50", ">p90", ">p95", ">p99", ">mean", ">std", ">CV", ">Samples")
    for result in document.results:
        times = (result.p50_ms, result.p90_ms, result.p95_ms, result.p99_ms, result.mean_ms, result.std_ms)
        grid.add_row(escaped(names[result.name]), *map(digits, times), f"{result.cv:.1%}", f"{result.samples:d}")
    return grid


def speed_table(document: Document) -> object:
    """Throughput and speed-up."""
    names = short_names(document.results)
    grid = named(names, None, "Candidate", "executes", ">Throughput img/s", ">Speed-up", ">99 % interval")
    for result in document.results:
        interval = result.speedup_ci
        grid.add_row(
            escaped(names[result.name]),
            escaped(result.executes),
            f"{result.throughput_ips:.1f}",
            f"[bold]{escaped(result.versus)}[/bold]" if result.speedup else escaped(result.versus),
            f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "",
        )
    return grid


def start_table(document: Document) -> object:
    """Starting, memory and size."""
    from dmformer.cli.output import number, size_text

    names = short_names(document.results)
    grid = named(
        names, None, "Candidate", ">Import ms", ">Compile ms", ">First inference ms", ">Peak memory MiB", ">Engine"
    )  # fmt: skip
    for result in document.results:
        grid.add_row(
            escaped(names[result.name]),
            f"{result.import_ms:.0f}",
            f"{result.compile_ms:.0f}",
            f"{result.first_ms:.1f}",
            number(result.peak_rss_mb, "{:.0f}"),
            size_text(result.engine_bytes) if result.engine_bytes else "-",
        )
    return grid


def power_table(document: Document) -> object | None:
    """Power and energy, where a sensor tells of them."""
    names = short_names(document.results)
    measured = [result for result in document.results if result.power]
    if not measured:
        return None
    columns = (">W min", ">median", ">max", ">mJ a call, min", ">median", ">max")
    grid = named(names, "Power and energy, by a sensor on board", "Candidate", *columns)
    for result in measured:
        if result.power:
            cells = (*result.power.watts, *result.power.energy_mj)
            grid.add_row(escaped(names[result.name]), *map(digits, cells))
    return grid


def strain_lines(document: Document) -> tuple[str, ...]:
    """The sensors, and what is not readable."""
    said = []
    power = next((result.power for result in document.results if result.power), None)
    if power is not None:
        rate = f"{power.rate_hz:.0f} readings a second" if power.rate_hz else "a counter of energy"
        idle = "" if power.idle_w is None else f"; {power.idle_w:.1f} W before anything ran, which is not subtracted"
        said.append(f"power: {power.sensor}, {rate}, during the slices only{idle}")
    elif document.no_power is not None:
        said.append(f"power is not readable, because {document.no_power}")
    if (heat := document.temperature) is not None:
        degrees = f"{heat.before:.0f} degrees Celsius before, {heat.highest:.0f} at most, {heat.after:.0f} after"
        said.append(f"hottest sensor: {degrees}")
    return tuple(said)


def parts_table(name: str, layers: Layers) -> object:
    """Where the time of one candidate goes."""
    from dmformer.cli.output import number, table

    grid = table(
        f"{escaped(name)}: {escaped(layers.source)}",
        "part",
        ">ms",
        ">share",
        "precision",
        ">GMAC/s",
        "of this machine's peak",
    )
    for part in layers.parts:
        grid.add_row(
            escaped(part.part),
            f"{part.ms:.3f}",
            f"{part.share:.1%}",
            escaped(
                ", ".join(f"{name} {share:.0%}" if share < 0.995 else name for name, share in part.precision.items())
            ),
            number(part.gmacs_per_s or None, "{:.1f}"),
            escaped(part.verdict),
        )
    return grid


def print_lines(lines: tuple[str, ...], sign: str) -> None:
    """Each line behind a sign."""
    from dmformer.cli.output import console

    for line in lines:
        console().print(f"{sign} {escaped(line)}")
