"""What a measurement took out of the machine: power, energy and warmth."""

from __future__ import annotations

from collections.abc import Sequence

from dmformer.evaluation.latency.conditions import Reading
from dmformer.evaluation.latency.schedule import Launch
from dmformer.evaluation.power.meter import Meter, energy_per_call, spread
from dmformer.evaluation.power.records import PowerDraw, Temperature


def power_of(launches: Sequence[Launch], meter: Meter) -> PowerDraw | None:
    """Power and energy of one candidate; None where there is no reading of them."""
    if meter.sensor is None or (meter.sensor.is_cpu_only and not on_cpu(launches[0].opened["provider"])):
        return None
    taken = [pair for launch in launches for pair in zip(launch.slices, launch.draws, strict=True)]
    draws = [(draw, one["wall_ns"] / 1e9 / len(one["calls_ns"])) for one, draw in taken if draw is not None]
    watts = spread([reading for draw, _ in draws for reading in draw.watts])
    energy = spread([joules * 1e3 for draw, call in draws if (joules := energy_per_call(draw, call)) is not None])
    if watts is None or energy is None:
        return None
    idle = spread(meter.idle.watts) if meter.idle else None
    return PowerDraw(
        sensor=meter.sensor.name,
        rate_hz=meter.sensor.rate_hz,
        readings=sum(len(draw.watts) for draw, _ in draws),
        watts=watts,
        energy_mj=energy,
        idle_w=idle[1] if idle else None,
    )


def on_cpu(provider: str) -> bool:
    """Whether a runtime says that it runs on the processor."""
    return "CPU" in provider or provider.startswith("PyTorch")


def temperature_of(readings: Sequence[Reading]) -> Temperature | None:
    """The hottest sensor over a measurement."""
    known = [reading.celsius for reading in readings if reading.celsius is not None]
    return Temperature(before=known[0], highest=max(known), after=known[-1]) if known else None
