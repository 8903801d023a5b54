"""Power and temperature as a measurement's document holds them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmformer.environment import Count, Ratio, Text
from dmformer.fields import Strict

Celsius = Annotated[float, Field(ge=-100, le=1000)]


class PowerDraw(Strict):
    """Power and energy while one candidate's slices ran, by a sensor on board; nothing is subtracted.

    Attributes:
        sensor: Its name; ``rate_hz`` its readings a second, None where it counts energy.
        readings: How many there were.
        watts: Smallest, median and largest reading; of a counter the mean of each slice is one.
        energy_mj: Millijoules of one call of ``batch`` images: smallest, median and largest over the slices.
        idle_w: Drawn before anything was started: in ``watts`` too.
    """

    sensor: Text
    rate_hz: Ratio | None
    readings: Count
    watts: tuple[Ratio, Ratio, Ratio]
    energy_mj: tuple[Ratio, Ratio, Ratio]
    idle_w: Ratio | None = None


class Temperature(Strict):
    """The hottest sensor, degrees Celsius: before the first slice, at its highest, after the last."""

    before: Celsius
    highest: Celsius
    after: Celsius
