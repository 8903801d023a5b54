"""A finished bundle in one flat record: what ``--json`` prints and what tables show."""

from __future__ import annotations

from typing import Any

from dmformer.bundle import Bundle
from dmformer.manifest import Proof


def engine_bytes(bundle: Bundle) -> int:
    """Size of what the runtime loads: the engine with its weights, or the graph that one is still to be built from."""
    sizes = {role: 0 for role in ("engine", "weights", "graph")}
    for entry in bundle.manifest.files.values():
        if entry.role in sizes:
            sizes[entry.role] += entry.bytes
    return sizes["engine"] + sizes["weights"] or sizes["graph"]


def summarize(bundle: Bundle, proof: Proof) -> dict[str, Any]:
    """The figures of a bundle on the images that it was compared on, the golden samples where there were no others.

    Returns:
        Keys ``target, precision, named, executes, path, task, verified, verified_by, failures, notes, data, images,
        figures, agreement, sqnr_db, max_abs_error, engine_bytes``.
        Figures are those of the task by key, each with what the engine and the reference reached in its unit; 0 to 1
        for agreement; None for what was not measured.
    """
    # The golden samples come first, and images that were given behind them, be they fewer.
    shown = proof.comparisons[-1]
    return {
        "target": bundle.manifest.target,
        "precision": bundle.manifest.precision.requested,
        "named": bundle.manifest.precision.named,
        "executes": proof.executes or bundle.manifest.precision.executes,
        "path": str(bundle.path),
        "task": bundle.manifest.task.name,
        "verified": proof.passed,
        "verified_by": proof.by,
        "failures": list(proof.failures),
        "notes": list(proof.notes),
        "data": shown.data,
        "images": shown.images,
        "figures": {key: score.model_dump() for key, score in shown.figures.items()},
        "agreement": shown.agreement,
        "sqnr_db": shown.sqnr_db,
        "max_abs_error": shown.max_abs_error,
        "engine_bytes": engine_bytes(bundle),
    }
