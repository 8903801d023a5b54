"""What a device says of itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from dmformer.environment import Count, Text
from dmformer.fields import Sha256, Strict

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
"""From, and before."""
SKEW_S = 60.0
"""By how much its clock may be wrong before that is said."""


class Installed(Strict):
    """The environment that ``dmformer device setup`` made there.

    Attributes:
        version: Of dmformer; ``source`` the SHA-256 of its files.
        targets: Whose libraries came with it.
        key: Of everything that it was made of.
    """

    model_config = ConfigDict(extra="ignore")

    version: Text
    source: Sha256
    targets: tuple[Text, ...]
    key: Sha256


class Facts(Strict):
    """A device.

    Attributes:
        python: Version of the interpreter that the agent runs in; ``executable`` its path.
        system: As ``Linux``; ``machine`` as ``aarch64``.
        libc: Name and version of the C library.
        directory: Where everything of ours lies there.
        time: Its clock, seconds since 1970.
        environment: What was set up there; None before.
    """

    python: tuple[Count, Count, Count]
    executable: Text
    system: Text
    machine: Text
    libc: Annotated[tuple[Text, ...], Field(max_length=2)]
    directory: Text
    time: float
    environment: Installed | None

    @property
    def version(self) -> str:
        """Of Python."""
        return ".".join(map(str, self.python))

    @property
    def runs_dmformer(self) -> bool:
        """Whether its Python is one that dmformer runs on."""
        return OLDEST_PYTHON <= self.python[:2] < NEWEST_PYTHON
