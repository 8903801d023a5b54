"""What people look for first: which engine to ship and why, how fast and how right it is, and what to doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.document import Document, Result
from dmformer.evaluation.latency.statistics import speedup
from dmformer.evaluation.report.markup import Html, items, joined, tag
from dmformer.evaluation.report.material import Material

RULE = "The rule: the fastest engine that is verified within its tolerance, unless the measurement itself is doubtful."


def headline(material: Material) -> Html:
    """Machine and model, the recommendation, the figures that matter, and every doubt in one list."""
    parts: list[Html] = []
    for document in material.documents:
        machine = f"{on(document)}{document.environment.cpu}, {document.environment.cores} cores · {document.taken_at}"
        parts += [tag("p", machine, class_="soft"), *(tag("p", line) for line in models(document))]
        advice = recommendation(document)
        parts += [tag("p", tag("strong", advice), class_="advice"), tag("p", RULE, class_="soft")] if advice else []
    doubts = [f"{on(document)}{line}" for document in material.documents for line in collapsed(document)]
    parts.append(items(cards(material), class_="cards"))
    if doubts:
        said = tag("strong", "Read these figures with care")
        parts.append(tag("div", said, items(doubts), class_="warnings", role="note"))
    return joined(parts)


def on(document: Document) -> str:
    """The device's name in front of what holds there, where it has one."""
    return f"{document.device}: " if document.device else ""


def models(document: Document) -> list[str]:
    """Size, input and classes of each model."""
    lines = []
    for one in {result.family: result for result in document.results}.values():
        facts = [
            f"{one.parameters:,} parameters" if one.parameters else "",
            f"{one.macs / 1e6:,.1f} million multiply-accumulates" if one.macs else "",
            f"input {'x'.join(map(str, one.input[1:]))}",
            f"{one.classes} classes" if one.classes else "",
        ]
        lines.append(f"{one.model}: {', '.join(filter(None, facts))}")
    return lines


def engines(document: Document) -> list[Result]:
    """The engines whose times are a device's, the fastest first."""
    able = [result for result in document.results if result.kind == "bundle" and not result.evaluated]
    return sorted(able, key=lambda result: result.p50_ms / result.batch)


def verified(document: Document) -> list[Result]:
    """Those of them whose proof holds."""
    return [result for result in engines(document) if result.accuracy and result.accuracy.verified]


def recommendation(document: Document) -> str:
    """Which engine to ship, by `RULE`, with its margin; or why none. Empty where no engine was measured."""
    fit = verified(document)
    if not fit:
        count = len(engines(document))
        return f"No recommendation: of {count} measured none is verified within its tolerance." if count else ""
    best, *others = fit
    if len({result.family for result in fit}) > 1:
        return "No recommendation: these are engines of different models, or for different inputs."
    if doubts_about(document, fit):
        return (
            f"No recommendation yet: {best.name} was the fastest that is verified, but this measurement is doubtful "
            "(see below). Measure again on a quiet machine."
        )
    why = f"{best.p50_ms:.2f} ms, {right(best.accuracy)}"
    if not others:
        return f"Ship {best.name}: the only one that is verified within its tolerance, {why}."
    ratio, low, high = margin(others[0], best)
    lead = f"{ratio:.2f} times as fast as {others[0].name} (99 % interval {low:.2f} to {high:.2f})"
    if low <= 1:
        return f"Ship {best.name} or {others[0].name}, which cannot be told apart: the first is {lead}; {why}."
    return f"Ship {best.name}: the fastest that is verified within its tolerance, {lead}; {why}."


def margin(slower: Result, faster: Result) -> tuple[float, float, float]:
    """How many times as fast one is as the other, from their slices side by side, with the ends of the interval."""
    one, other = (np.array(result.slices_ms) / result.batch for result in (slower, faster))
    return speedup(one, other) if one.shape == other.shape else (float(np.median(one) / np.median(other)), 0.0, np.inf)


def right(accuracy: Accuracy | None) -> str:
    """How right an engine is, in words."""
    if accuracy is None:
        return "without a proof"
    if accuracy.headline is not None:
        figure, score = accuracy.headline
        reference = f" (PyTorch {score.reference:.2f})" if score.reference is not None else ""
        said = f"{figure.title} {score.engine:.2f} {figure.unit}{reference}"
    elif accuracy.agreement is not None:
        said = f"agreement {accuracy.agreement:.2%}"
    else:
        said = "accuracy not measured" if accuracy.sqnr_db is None else f"SQNR {accuracy.sqnr_db:.1f} dB"
    return f"{said} on {accuracy.images} images of {accuracy.data}"


def cards(material: Material) -> list[Html]:
    """Time, speed-up and accuracy of the fastest verified engine of each measurement; how many are verified."""
    facts = []
    for document in material.documents:
        for best in (verified(document) or engines(document))[:1]:
            doubtful = bool(doubts_about(document, [best]))
            facts.append(card(f"{'about ' * doubtful}{best.p50_ms:.2f} ms", f"{on(document)}fastest: {best.name}"))
            if best.speedup is not None and best.speedup_ci is not None:
                low, high = best.speedup_ci
                much = "doubtful" if doubtful else f"{best.speedup:.2f}×"
                facts.append(card(much, f"{on(document)}speed-up over {best.reference}: {low:.2f} to {high:.2f}"))
            facts += [card(value, f"{on(document)}{said}") for value, said in accuracy_of(best)]
    if proofs := material.proofs():
        held = sum(proof.verified for _, proof in proofs)
        facts.append(card(f"{held} of {len(proofs)}", "bundles verified against PyTorch"))
    return facts


def accuracy_of(result: Result) -> list[tuple[str, str]]:
    """A figure and what it is, where one is known."""
    accuracy = result.accuracy
    if accuracy is None or (accuracy.headline is None and accuracy.agreement is None):
        return []
    value = accuracy.headline[1].engine if accuracy.headline else (accuracy.agreement or 0) * 100
    return [(f"{value:.2f}", f"{result.name}: {right(accuracy)}")]


def card(value: str, said: str) -> Html:
    """One figure, large, and what it is."""
    return tag("strong", value) + tag("span", said)


def doubts_about(document: Document, results: Iterable[Result]) -> list[str]:
    """The warnings of a measurement that touch these candidates, their reference, or all of them."""
    touched = {name for result in results for name in (result.name, result.reference)}
    names = {result.name for result in document.results}
    return [line for line in document.warnings if line.partition(":")[0] not in names - touched]


def collapsed(document: Document) -> list[str]:
    """The warnings of a measurement, each kind once with the candidates that it is about."""
    names = {result.name for result in document.results}
    kinds: dict[str, list[str]] = {}
    for line in document.warnings:
        name, colon, rest = line.partition(": ")
        for phrase in rest.split("; ") if colon and name in names else [line]:
            kind = re.split(r"[,:(]", phrase)[0].strip() if phrase != line else line
            kinds.setdefault(re.sub(r"^\d+ ", "", kind), []).extend([name] if phrase != line else [])
    return [f"{kind}: {', '.join(about)}" if about else kind for kind, about in kinds.items()]
