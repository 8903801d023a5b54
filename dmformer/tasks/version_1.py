"""Documents of schema 1, which spelled classification out: read as today's, and digested as they were written."""

from __future__ import annotations

from typing import Any

SPELLED = ("top1", "top5")
DROP, CLASSES, MOST = "max_top1_drop", "num_classes", 1000
"""`MOST` classes were the default, which digests leave out."""


def manifest_of(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest of schema 1 as one of today; what is no manifest comes out as no manifest."""
    proof, rest = document.get("proof"), {name: value for name, value in document.items() if name != "latency"}
    if not isinstance(proof, dict):
        return rest
    changed = dict(proof)
    if isinstance(proof.get("comparisons"), list):
        changed["comparisons"] = [with_figures(one) for one in proof["comparisons"]]
    if isinstance(tolerance := proof.get("tolerance"), dict):
        changed["tolerance"] = {("max_drop" if name == DROP else name): value for name, value in tolerance.items()}
    return {**rest, "proof": changed}


def measurement_of(document: dict[str, Any]) -> dict[str, Any]:
    """A document of ``bench`` of schema 1 as one of today; what is none comes out as none."""
    results = document.get("results")
    return {**document, "results": [_with_accuracy(one) for one in results]} if isinstance(results, list) else document


def _with_accuracy(result: Any) -> Any:
    return {**result, "accuracy": with_figures(result.get("accuracy"))} if isinstance(result, dict) else result


def with_figures(record: Any) -> Any:
    """A record of an engine's accuracy with its figures by name."""
    if not isinstance(record, dict):
        return record
    figures = {
        key: {"engine": record[key], "reference": record.get(f"reference_{key}")}
        for key in SPELLED
        if record.get(key) is not None
    }
    spelled = {*SPELLED, *(f"reference_{key}" for key in SPELLED)}
    rest = {name: value for name, value in record.items() if name not in spelled}
    return {**rest, "figures": figures} if figures else rest


def digested(dump: dict[str, Any]) -> dict[str, Any]:
    """What schema 1 took the digest of.

    Args:
        dump: A manifest that was read from schema 1, without its defaults.
    """
    rest = {name: value for name, value in dump.items() if name != "schema_"}
    source, proof = rest["source"], rest.get("proof")
    config = dict(source["config"])
    classes = config.pop("head", {}).get("classes", MOST)
    rest["source"] = {**source, "config": config | ({} if classes == MOST else {CLASSES: classes})}
    if proof is not None:
        tolerance = {(DROP if name == "max_drop" else name): value for name, value in proof["tolerance"].items()}
        rest["proof"] = {**proof, "tolerance": tolerance, "comparisons": [_spelled(c) for c in proof["comparisons"]]}
    return rest


def _spelled(comparison: dict[str, Any]) -> dict[str, Any]:
    record = {name: value for name, value in comparison.items() if name != "figures"}
    for key, score in comparison.get("figures", {}).items():
        record[key] = score["engine"]
        if score.get("reference") is not None:
            record[f"reference_{key}"] = score["reference"]
    return record
