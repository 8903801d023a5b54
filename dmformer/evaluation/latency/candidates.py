"""Who takes part in a measurement: bundles, and the PyTorch model that they were made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, MissingBackendError, UsageError
from dmformer.runtimes.registry import fits_here
from dmformer.staging import MANIFEST_FILE
from dmformer.texts import plain

Kind = Literal["bundle", "pytorch", "pytorch-compile"]


@dataclass(frozen=True)
class Candidate:
    """One participant. Crosses a process boundary as JSON.

    Attributes:
        name: What tables call it; unique within a measurement.
        kind: A bundle, or PyTorch as it is or compiled.
        bundle: The bundle's directory; for PyTorch that of one whose model and samples it takes.
        batch: Images in a call.
        weights: For PyTorch: its weights; None for random ones of the same shapes, which are as fast.
        family: Equal for candidates that compute the same model on the same input size.
    """

    name: str
    kind: Kind
    bundle: str
    batch: int
    weights: str | None = None
    family: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def bundles_among(paths: list[Path]) -> tuple[list[Path], list[str]]:
    """The bundles among what a shell made of ``build/*``, and of what else is there that it was left out.

    A path where nothing is, and one with a manifest, whatever is wrong with it, count as bundles: loading them tells.
    So do all where there would be nothing left.
    """
    bundles = [path for path in paths if not path.exists() or (path / MANIFEST_FILE).is_file()] or paths
    return bundles, [f"{plain(path.name)}: left out, it is no bundle" for path in paths if path not in bundles]


def runnable(bundles: list[Bundle]) -> tuple[list[Bundle], list[str]]:
    """The bundles that can run here and held their tolerance, and why each of the others is left out, in a line each.

    So that a folder with bundles for several machines can be measured on each of them. Those below their tolerance are
    measured where nothing else would be.

    Raises:
        DmformerError: None can; what the first one lacks.
    """
    fitting: list[Bundle] = []
    below: list[Bundle] = []
    lines: list[str] = []
    first: EngineError | MissingBackendError | None = None
    for bundle in bundles:
        try:
            fits_here(bundle)
            (fitting if bundle.manifest.proof is None or bundle.manifest.proof.passed else below).append(bundle)
        except (EngineError, MissingBackendError) as error:
            first = first or error
            lines.append(f"{bundle.path.name}: left out: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    if first is not None and not fitting + below:
        if len(bundles) == 1:
            raise first
        raise type(first)(f"none of the {len(bundles)} bundles can run here: {first.message}", first.hint)
    if fitting:
        lines += [f"{one.path.name}: left out: it fell below its tolerance; alone it is measured" for one in below]
    return fitting or below, lines


def candidates_of(bundles: list[Bundle], batches: list[int]) -> list[Candidate]:
    """A candidate for each bundle and batch size.

    Args:
        bundles: What to measure; the same one may be given twice, to see what a difference means.
        batches: Batch sizes; empty takes the one that a bundle was exported with, 1 where it is open.

    Raises:
        UsageError: A bundle of a fixed batch size and another one asked for.
        EngineError: A bundle that cannot be right on this machine.
        MissingBackendError: A runtime that is not installed.
    """
    candidates = []
    for bundle in bundles:
        fits_here(bundle)
        fixed = bundle.manifest.input.shape[0]
        for batch in batches or [fixed or 1]:
            if fixed is not None and batch != fixed:
                raise UsageError(
                    f"{bundle.path}: takes batches of {fixed}, not of {batch}",
                    f"export it with --batch {batch} or --dynamic",
                )
            candidates.append(Candidate(bundle.path.name, "bundle", str(bundle.path), batch, family=family_of(bundle)))
    return with_unique_names(candidates)


def family_of(bundle: Bundle) -> str:
    """The model and the input size of a bundle: only within a family does a speed-up mean anything."""
    size = "x".join(str(side) for side in bundle.manifest.preprocessing.shape)
    return f"{bundle.manifest.source.sha256}:{size}"


def with_unique_names(candidates: list[Candidate]) -> list[Candidate]:
    """The same candidates with the batch size, and then a number, behind names that occur more than once."""
    several = len({candidate.batch for candidate in candidates}) > 1
    named = [replace(c, name=f"{c.name} batch {c.batch}") if several else c for c in candidates]
    seen: Counter[str] = Counter()
    unique = []
    for candidate in named:
        seen[candidate.name] += 1
        count = seen[candidate.name]
        unique.append(candidate if count == 1 else replace(candidate, name=f"{candidate.name} ({count})"))
    return unique
