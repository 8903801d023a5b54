"""Gathering what a report is made of: measurements from files, and changed answers from bundles at hand."""

from __future__ import annotations

from pathlib import Path

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.flips import find_flips
from dmformer.evaluation.latency.bench import accuracy
from dmformer.evaluation.latency.candidates import bundles_among, runnable
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.kept import read_documents
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.report.material import Examined, Material
from dmformer.framing import framing_of
from dmformer.pipeline.requests import ReportOptions
from dmformer.pipeline.verification import Evidence, choose_dataset, outputs_of, weights_of_bundle
from dmformer.progress import Progress
from dmformer.scratch import scratch_directory


def gather(options: ReportOptions, progress: Progress) -> Material:
    """Reads measurements, and runs bundles to see which answers changed.

    Raises:
        UsageError: Nothing was named, or something that does not exist.
        DmformerError: See `read_documents` and `Bundle.load`.
    """
    missing = next((path for path in options.inputs if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"{missing}: does not exist", "make it with: dmformer bench BUNDLE... --output bench.json")
    if not options.inputs:
        raise UsageError(
            "there is nothing to report", "dmformer bench build/* -o bench.json, then name bench.json here"
        )
    documents = tuple(one for path in options.inputs if not path.is_dir() for one in read_documents(path))
    paths, left_out = bundles_among([path for path in options.inputs if path.is_dir()])
    bundles, unable = runnable([Bundle.load(path) for path in paths])
    for line in (*left_out, *unable):
        progress.say(line)
    with scratch_directory() as scratch:
        references = References(options, scratch, progress)
        examined = tuple(examine(bundle, references.of(bundle), progress) for bundle in bundles)
    return Material(options.title or title_of(documents, bundles), documents, examined)


def title_of(documents: tuple[Document, ...], bundles: list[Bundle]) -> str:
    """The models' names."""
    names = [result.model for document in documents for result in document.results]
    names += [bundle.manifest.name for bundle in bundles]
    return f"Deployment report: {', '.join(dict.fromkeys(names))}"


def examine(bundle: Bundle, reference: ReferenceOutputs | None, progress: Progress) -> Examined:
    """The changed answers of one bundle."""
    flips = find_flips(bundle, reference, progress)
    proof = bundle.manifest.proof
    by_class = proof.largest.by_class if proof else ()
    return Examined(bundle.path.name, accuracy(bundle), bundle.manifest.labels, flips, by_class)


class References:
    """PyTorch's outputs, computed once for each model and input size."""

    def __init__(self, options: ReportOptions, scratch: Path, progress: Progress) -> None:
        self._options, self._scratch, self._progress = options, scratch, progress
        self._known: dict[str, ReferenceOutputs | None] = {}

    def of(self, bundle: Bundle) -> ReferenceOutputs | None:
        """Those on the images, or None where only the golden samples have them."""
        size = "x".join(map(str, bundle.manifest.preprocessing.size))
        key = f"{bundle.manifest.source.sha256}-{size}"
        if key not in self._known:
            self._known[key] = self._compute(bundle, self._scratch / f"{key}.f32")
        return self._known[key]

    def _compute(self, bundle: Bundle, file: Path) -> ReferenceOutputs | None:
        options = Evidence(
            self._options.data, self._options.max_images, self._options.weights, masks=self._options.masks
        )
        dataset = choose_dataset(bundle, options, self._progress)
        if dataset is None:
            return None
        weights = weights_of_bundle(bundle, options, dataset, self._progress)
        return (
            None
            if weights is None
            else outputs_of(weights, bundle, dataset, framing_of(bundle.manifest), file, self._progress)
        )
