"""What a target's row names as its maker: how the bundles of one export are made for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import cast

from dmformer.pipeline.making import Outcome, Prepared
from dmformer.pipeline.options import ExportOptions
from dmformer.progress import Progress
from dmformer.runtimes.base import require
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import Target, get_target, load


class Maker(ABC):
    """Makes bundles for one target.

    Args:
        target: Its row.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def check(self, options: ExportOptions) -> None:
        """Raises what can be known to be wrong before anything is read.

        Raises:
            MissingBackendError: What makes the bundle is not installed.
            UsageError: It cannot be made as asked.
        """
        runtime = get_runtime(self.target.name)
        require(runtime.missing_for_export())
        runtime.check_device(options.device)

    def label(self, options: ExportOptions) -> str:
        """What a bundle's name ends in."""
        return options.precision

    def calibrates(self, options: ExportOptions) -> bool:
        """Whether ranges of activations must be known."""
        return options.precision == "int8"

    def scans(self, options: ExportOptions) -> bool:
        """Whether images are looked at for values that half precision cannot hold."""
        return False

    @abstractmethod
    def make(self, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
        """Builds, verifies and publishes one bundle.

        Raises:
            UsageError: It cannot be made as asked.
            DmformerError: See `dmformer.errors`.
        """


def get_maker(target: str) -> Maker:
    """The maker of a target.

    Raises:
        UsageError: There is no such target.
    """
    row = get_target(target)
    return cast(Maker, load(row.maker)(row))
