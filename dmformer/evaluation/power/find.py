"""The sensor that a machine has on board, or why there is none. A wall meter sees more: losses, disks, screens."""

from __future__ import annotations

from pathlib import Path

from dmformer.evaluation.power.pmic import INTERVAL_S, read_pmic
from dmformer.evaluation.power.rails import Tegrastats, rails_below, reader_of, total_of
from dmformer.evaluation.power.rapl import PACKAGES, Rapl, packages_below
from dmformer.evaluation.power.sensor import Sampled, Sensor

ROOT = Path("/")


def find_sensor(root: Path | None = None) -> Sensor | str:
    """The sensor that sees most of this machine, or why power is not readable, in words that follow "because".

    Args:
        root: Of the file system that the kernel shows its sensors in.
    """
    root = root or ROOT
    rails = rails_below(root)
    names = total_of(rails)
    if names is not None:
        read = reader_of(rails, names)
        if read() is not None:
            return Sampled(f"INA, {' + '.join(names)}", read)
    tool = Tegrastats.here()
    if tool is not None:
        return tool
    if read_pmic() is not None:
        return Sampled("PMIC of the Raspberry Pi 5, sum of its rails", read_pmic, INTERVAL_S)
    return _rapl(root, "INA chips measure rails of no known module" if rails else None)


def _rapl(root: Path, otherwise: str | None) -> Sensor | str:
    packages = packages_below(root)
    if not packages:
        return otherwise or "this machine shows no sensor (no INA chip, no Raspberry Pi 5's PMIC, no RAPL)"
    try:
        return Rapl(packages)
    except PermissionError:
        return f"only root may read RAPL here: sudo chmod a+r /{PACKAGES}/energy_uj, until the next start"
    except (OSError, ValueError) as error:
        return f"RAPL cannot be read ({error})"
