"""What follows from what an export was asked: its targets and precision, the options that nothing reads, its record."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from dmformer.errors import UsageError
from dmformer.options import PLACES, Leaf, leaves, refuse_idle, written
from dmformer.pipeline.option_groups import COREML, NVIDIA
from dmformer.pipeline.options import INT8, ExportOptions
from dmformer.precision import Precision
from dmformer.targets import TARGETS, get_target

PANELS = {NVIDIA: "engines for NVIDIA's libraries", COREML: "Core ML packages"}
"""What the options of a target's panel belong to."""


def settled(given: Iterable[Leaf], options: ExportOptions) -> ExportOptions:
    """The options with the precision chosen.

    Args:
        given: Those that somebody gave: nobody gave the others.
        options: All of them.

    Raises:
        UsageError: No such target, precisions that exclude each other, or an option that none of the targets reads.
    """
    given = tuple(given)
    chosen = replace(options, targets=choose_targets(options.targets))
    chosen = replace(chosen, precision=choose_precision(given, chosen))
    for panel, (why, hint) in unread(chosen).items():
        refuse_idle(given, {panel}, why, hint)
    # What ``all`` leaves out is said where the work begins.
    return replace(options, precision=chosen.precision)


def choose_targets(names: Iterable[str]) -> tuple[str, ...]:
    """The targets without repetition; ``all`` stands for every runtime that is installed, besides those named."""
    names = tuple(dict.fromkeys(names))
    absent = left_out(names)
    if "all" in names:
        return tuple(name for name in TARGETS if name not in absent)
    for name in names:
        get_target(name)
    return names


def left_out(names: Collection[str]) -> dict[str, str]:
    """The targets that ``all`` does not stand for here, and why, with the install command."""
    from dmformer.runtimes.registry import get_runtime

    runtimes = {name: get_runtime(name) for name in TARGETS if "all" in names and name not in names}
    # What opens a package need not be what builds it.
    reasons = {name: one.missing_for_export() or one.missing() for name, one in runtimes.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def choose_precision(given: Iterable[Leaf], options: ExportOptions) -> Precision:
    """The precision that was given, or follows from ``--w8a16``, or is natural to all targets; else FP32."""
    flags = [leaf.flag for leaf in given if leaf.place == ("precision",)]
    if options.coreml.int8 == "w8a16":
        if flags and options.precision != "int8":
            raise UsageError(f"{flags[0]} and --w8a16 exclude each other", "give one; run again for another bundle")
        return "int8"
    natural = {TARGETS[name].natural for name in options.targets}
    return options.precision if flags else natural.pop() if len(natural) == 1 else "fp32"


def unread(options: ExportOptions) -> dict[str, tuple[str, str]]:
    """The panels of the help none of whose options is read: what is said of one that was given, and how to mend it."""
    read = {TARGETS[name].panel for name in options.targets}
    panels: dict[str, tuple[str, str]] = {}
    if options.precision != "int8" and NVIDIA not in read:  # FP16 for NVIDIA's libraries is scanned on such images
        panels[INT8] = ("does nothing without --int8", "add --int8, or leave it out")
    for panel in PANELS.keys() - read:
        names = " or ".join(row.name for row in TARGETS.values() if row.panel == panel)
        panels[panel] = (f"belongs to {PANELS[panel]}", f"add --target {names}, or leave it out")
    return panels


def recorded(options: ExportOptions, target: str) -> dict[str, Any]:
    """What makes the bundle for one target again, by the options' long names: what its manifest says."""
    alone = replace(options, targets=(target,))
    precisions = {leaf.option.const: leaf.name for leaf in leaves(ExportOptions) if leaf.place == ("precision",)}
    said = written(alone, {*PLACES, *unread(alone)})
    return {"target": [target], precisions[options.precision]: True, **said}
