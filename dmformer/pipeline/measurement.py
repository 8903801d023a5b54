"""What ``dmformer bench`` does, and what takes part in it: bundles, and the PyTorch that they were made from."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from dmformer.bundle import Bundle
from dmformer.documents import Document as Answer
from dmformer.errors import CheckpointError, MissingBackendError, UsageError
from dmformer.evaluation.latency.bench import bench as measure
from dmformer.evaluation.latency.candidates import (
    Candidate,
    bundles_among,
    candidates_of,
    runnable,
    with_unique_names,
)
from dmformer.evaluation.latency.document import Document
from dmformer.files import check_output, document_of, write_output
from dmformer.options import command_line
from dmformer.pipeline.requests import BenchOptions
from dmformer.pipeline.sources import demonstration_of
from dmformer.preprocessing import load_image
from dmformer.progress import Progress, Silent
from dmformer.weights import digest_of_weights

FAMILIES = ("dmformer.bench/", "dmformer.fleet/")
"""How the schemas of measurements begin."""
Against = Literal["auto", "pytorch", "pytorch-compile", "none"]


def bench(options: BenchOptions, progress: Progress | None = None) -> Document:
    """Measures bundles side by side, each in processes of its own, against PyTorch.

    Raises:
        OutputError: The document could not be kept.
        DmformerError: See `choose_candidates` and `dmformer.evaluation.latency.bench.bench`.
    """
    watch = progress or Silent()
    if options.against == "none" and options.weights is not None:
        raise UsageError("--weights does nothing without --against pytorch", "add it, or leave --weights out")
    settings = options.settings
    check_kept(options)
    if settings.image is not None:
        load_image(Path(settings.image))
    paths, strangers = bundles_among(list(options.bundles))
    bundles, left_out = runnable([Bundle.load(path) for path in paths])
    candidates = choose_candidates(bundles, options.against, options.weights, list(options.batch), watch)
    by_path = {str(bundle.path): bundle for bundle in bundles}
    document = measure(candidates, by_path, settings, command_line("bench", options), options.layers, watch)
    return document.model_copy(update={"notes": (*strangers, *left_out, *document.notes)})


def check_kept(options: BenchOptions) -> None:
    """Fails before anything is measured where the document could not be kept.

    Raises:
        OutputError: Says why.
    """
    if options.output is not None:
        inputs = [*options.bundles, *(Path(path) for path in (options.weights, options.settings.image) if path)]
        check_output(options.output, is_kept, options.force, inputs)


def for_device(options: BenchOptions) -> BenchOptions:
    """What is measured on another machine: the bundles among what was named.

    Raises:
        OutputError: See `check_kept`.
    """
    check_kept(options)
    return replace(options, bundles=tuple(bundles_among(list(options.bundles))[0]))


def is_kept(content: bytes) -> bool:
    """Whether a file holds a measurement, of one machine or of several."""
    return any(document_of(family)(content) for family in FAMILIES)


def keep(options: BenchOptions, document: Answer) -> None:
    """Writes a measurement where that was asked for.

    Raises:
        OutputError: It cannot be written.
    """
    if options.output is not None:
        write_output(options.output, document.to_json().encode(), is_kept, options.force)


def choose_candidates(
    bundles: list[Bundle], against: str, weights: Path | None, batches: list[int], progress: Progress
) -> list[Candidate]:
    """Everything that is to be measured side by side, the references first.

    Args:
        bundles: What to measure.
        against: ``pytorch``, ``pytorch-compile``, ``none``, or ``auto``: PyTorch where torch is installed.
        weights: The bundles' weights for PyTorch; None takes the embedded ones or random ones, which are as fast.
        batches: Batch sizes; empty takes each bundle's own.
        progress: Is told what was chosen.

    Raises:
        UsageError: ``against`` is none of these, or there is no bundle.
        MissingBackendError: PyTorch was asked for and is not installed.
        CheckpointError: The weights are not those of the bundles.
        DmformerError: See `dmformer.evaluation.latency.candidates.candidates_of`.
    """
    if against not in get_args(Against):
        raise UsageError(f"there is no reference {against!r}", f"choose from: {', '.join(get_args(Against))}")
    if not bundles:
        raise UsageError("there is nothing to measure", "name a bundle: dmformer bench build/*")
    engines = candidates_of(bundles, batches)
    has_torch = find_spec("torch") is not None
    if against in ("pytorch", "pytorch-compile") and not has_torch:
        raise MissingBackendError(
            f"--against {against} needs torch, which is not installed", "pip install 'dmformer[export]'"
        )
    if against == "none" or not has_torch:
        progress.say("no PyTorch reference: speed-ups are against each model's first engine")
        return engines
    by_path = {str(bundle.path): bundle for bundle in bundles}
    kind: Literal["pytorch", "pytorch-compile"] = "pytorch-compile" if against == "pytorch-compile" else "pytorch"
    return with_unique_names(references(engines, by_path, kind, weights, progress) + engines)


def references(
    engines: list[Candidate],
    bundles: dict[str, Bundle],
    kind: Literal["pytorch", "pytorch-compile"],
    weights: Path | None,
    progress: Progress,
) -> list[Candidate]:
    """One PyTorch candidate for each model, input size and batch size."""
    references: dict[tuple[str, int], Candidate] = {}
    for engine in engines:
        if (engine.family, engine.batch) in references:
            continue
        bundle = bundles[engine.bundle]
        file = weights_to_measure(bundle, weights, progress)
        path = str(file) if file else None
        name = f"{kind} {bundle.manifest.name}"
        references[engine.family, engine.batch] = Candidate(
            name, kind, engine.bundle, engine.batch, path, engine.family
        )
    return list(references.values())


def weights_to_measure(bundle: Bundle, weights: Path | None, progress: Progress) -> Path | None:
    """The weights that PyTorch is measured with, or None for random ones of the same shapes.

    Raises:
        CheckpointError: The weights were given and are not those that the bundle was made from.
    """
    if weights is not None:
        if not weights.exists():
            raise CheckpointError(f"{weights}: is not a file", "give the weights that the bundle was made from")
        if digest_of_weights(weights) != bundle.manifest.source.sha256:
            raise CheckpointError(f"{weights}: is not what {bundle.path} was made from (SHA-256)", "give the same file")
        return weights
    if shown := demonstration_of(bundle.manifest.source.sha256):
        return shown.weights()
    progress.say(f"{bundle.manifest.name}: PyTorch runs with random weights of the same shapes, which are as fast")
    return None
