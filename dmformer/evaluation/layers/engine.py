"""What a finished engine of NVIDIA's libraries computes in, by part of the model, as the library itself told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dmformer.bundle import Bundle
from dmformer.evaluation.layers.parts import PARTS, part_of
from dmformer.runtimes.tensorrt.layers import read_description

LAYERS = "layers"
"""Role of the file with the library's description."""


@dataclass(frozen=True)
class PartPrecision:
    """One part of the model.

    Attributes:
        part: Its name, one of `dmformer.evaluation.layers.parts.PARTS`.
        asked: What the graph asks for: ``int8`` where one of these layers has Q/DQ, else ``float``.
        layers: Number of convolutions and matrix products by the precision that they compute in.
    """

    part: str
    asked: str
    layers: dict[str, int]


def parts_of_engine(bundle: Bundle) -> list[PartPrecision]:
    """The parts of an engine in the order of the model; none where the bundle has no description.

    Raises:
        BundleError: The description is damaged.
    """
    if bundle.manifest.file_with_role(LAYERS) is None:
        return []
    counts: dict[str, Counter[str]] = {}
    integer: set[str] = set()
    for node, precision in read_description(bundle.file(LAYERS)).precisions().items():
        counts.setdefault(part_of(node), Counter())[precision] += 1
        if asked_for(node, bundle.manifest.precision.groups) == "int8":
            integer.add(part_of(node))
    return [
        PartPrecision(part, "int8" if part in integer else "float", dict(counts[part].most_common()))
        for part in PARTS
        if part in counts
    ]


def asked_for(node: str, groups: Mapping[str, str]) -> str:
    """The precision of the layer group that a node is in; ``float`` where the graph has no Q/DQ."""
    around = [group for group in groups if node == group or node.startswith(f"{group}.")]
    return groups[max(around, key=len)] if around else "float"


def engine_line(bundle: Bundle) -> str | None:
    """In one line what the library made of the graph, as ``int8: DMA expand, FFN; float16: stem``.

    A part whose layers differ is named under each precision with its count. None where the library told nothing.
    """
    by_precision: dict[str, list[str]] = {}
    for part in parts_of_engine(bundle):
        total = sum(part.layers.values())
        for precision, count in part.layers.items():
            share = "" if count == total else f" ({count} of {total} layers)"
            by_precision.setdefault(precision, []).append(part.part + share)
    if not by_precision:
        return None
    record = bundle.manifest.runtime
    told = "; ".join(
        f"{precision}: {', '.join(parts)}" for precision, parts in sorted(by_precision.items(), reverse=True)
    )
    return f"{record.name} {record.version} computes in {told}"
