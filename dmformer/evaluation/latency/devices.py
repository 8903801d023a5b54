"""The same candidates on several devices, side by side: a row for each figure, a column for each device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dmformer.evaluation.latency.document import Document, Result

FIGURES: dict[str, Callable[[Result], float | None]] = {
    "p50 ms": lambda result: result.p50_ms,
    "p99 ms": lambda result: result.p99_ms,
    "images/s": lambda result: result.throughput_ips,
    "W": lambda result: result.power.watts[1] if result.power else None,
    "mJ a call": lambda result: result.power.energy_mj[1] if result.power else None,
}
"""What is told of each; what no device has is left out."""


def rows_of_devices(documents: Mapping[str, Document]) -> Iterator[tuple[str, str, list[str]]]:
    """Candidate, figure and the figure on each device; a dash where it was not measured there.

    Args:
        documents: Measurements by the devices' names.
    """
    devices = [{result.name: result for result in document.results} for document in documents.values()]
    for name in dict.fromkeys(name for device in devices for name in device):
        results = [device.get(name) for device in devices]
        for figure, of in FIGURES.items():
            values = [None if result is None else of(result) for result in results]
            if any(value is not None for value in values):
                yield name, figure, ["-" if value is None else f"{value:.4g}" for value in values]
        headlines = [result.accuracy.headline if result and result.accuracy else None for result in results]
        title = next((headline[0].title for headline in headlines if headline), None)
        if title is not None:
            yield name, title, [f"{headline[1].engine:.2f}" if headline else "-" for headline in headlines]
