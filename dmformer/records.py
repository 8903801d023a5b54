"""The parts of a manifest that say what an engine is and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from dmformer.fields import Sha256, Strict
from dmformer.model.config import ModelConfig
from dmformer.model.naming.dialect import DialectFile
from dmformer.precision import Precision


class FileEntry(Strict):
    """One file of the bundle."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=0, le=1 << 62)]
    role: Annotated[str, Field(max_length=64)]
    """What the file is: ``engine`` is what the runtime opens, ``weights`` what the engine refers to,
    ``golden`` the golden samples; a runtime may add its own."""


class PrecisionRecord(Strict):
    """What precision was asked for, what is stored and what executes.

    Attributes:
        requested: What ``export`` was asked for.
        stored: The dtype of the weights in the engine file.
        executes: What the runtime computes in on the machine that built the bundle, as it reports it.
        groups: Precision per layer group where it is not the same everywhere.
        isa: The instruction set that the integers of an INT8 engine were chosen for, as ``--cpu-isa`` names it; None
            where that is the builder's.
    """

    requested: Precision
    stored: str
    executes: str
    groups: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    isa: str | None = None

    @property
    def named(self) -> str:
        """What the engine is called: ``int8: 4 of 51 groups`` where most of an INT8 one went back to float."""
        few = few_int8(self.groups) if self.requested == "int8" else None
        return few or self.requested


def few_int8(groups: Mapping[str, str]) -> str | None:
    """``int8: 4 of 51 groups`` where fewer than half of the layer groups hold integers, else None."""
    integers = sum(precision == "int8" for precision in groups.values())
    return f"int8: {integers} of {len(groups)} groups" if 2 * integers < len(groups) else None


class RuntimeRecord(Strict):
    """The runtime that the engine was built by, and the options that it must be opened with."""

    name: str
    version: str
    options: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it


class HostRecord(Strict):
    """The machine that built the engine, as far as it decides what the engine is."""

    os: str
    machine: str
    cpu: str
    cpu_isa: tuple[str, ...]
    gpu: str | None = None


class SourceRecord(Strict):
    """Where the weights came from, and how they were read where they do not say it themselves.

    Attributes:
        sha256: Of the file; of shards that of their names and digests.
        key: Where in the file they are (``--weights-key``); None is what is taken by itself.
        names: A person's rules for the tensors' names (``--names``).
        origin: The hub's address with the commit, ``hf://org/name@commit``; None of a file.
    """

    name: str
    sha256: Sha256
    config: ModelConfig
    notes: tuple[str, ...] = ()
    key: str | None = None
    names: DialectFile | None = None
    origin: Annotated[str, Field(max_length=300)] | None = None
