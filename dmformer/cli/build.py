"""``dmformer build``: the engine of a bundle, on the device that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.requests import BuildOptions

if TYPE_CHECKING:
    from dmformer.pipeline.building import BuildDocument


def show(document: BuildDocument) -> None:
    """The engine's figures; the command alone on stdout."""
    from dmformer.cli.output import print_summaries
    from dmformer.texts import one_line, printable

    if document.command is not None:
        typer.echo(printable(document.command))
    elif document.verified is None:
        typer.echo(one_line(f"built, not verified here: {document.reason} -> {document.path}"), err=True)
    else:
        print_summaries([document.model_dump()])


def show_devices(documents: Mapping[str, BuildDocument]) -> None:
    """One table of all devices."""
    from dmformer.cli.output import print_summaries

    verified = {name: one for name, one in documents.items() if one.verified is not None}
    print_summaries([one.model_dump() for one in verified.values()], list(verified))
    for one in documents.values():
        if one.verified is None:
            show(one)


BUILD = Command(
    "build",
    BuildOptions,
    "dmformer.pipeline.building:build",
    show,
    """Build a bundle's engine on this machine. Needs no torch.

    What is not given is as the bundle was exported. Exit code 0: verified. 1: below tolerance. 2: wrong input.
    """,
    (
        ("dmformer build BUNDLE", "on the Jetson: builds the engine and verifies it against PyTorch's answers"),
        ("dmformer build BUNDLE --workspace 2 --opt-level 1", "with little memory, or little time"),
        ("dmformer build BUNDLE --on jetson", "there, over SSH; the bundle comes back"),
        ("dmformer build BUNDLE --trtexec 10.3", "only print NVIDIA's own command for that version"),
    ),
    travels=Travels(
        made=("output",), measures=True, prepare="dmformer.pipeline.building:for_device", show=show_devices
    ),
)
