"""What ``dmformer predict`` does: the most likely classes of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dmformer.documents import Document, schema
from dmformer.errors import UsageError
from dmformer.evaluation.classifier import Classifier
from dmformer.evaluation.predict import Guess
from dmformer.manifest import Strict
from dmformer.pipeline.options import BUNDLES
from dmformer.pipeline.requests import PredictOptions
from dmformer.progress import Progress


class Classified(Strict):
    """One image and its most likely classes, best first."""

    path: str
    classes: tuple[Guess, ...]


class PredictDocument(Document):
    """The classes of every image, and what computed them."""

    schema_: Literal["dmformer.predict/1"] = schema("dmformer.predict/1")
    bundle: str
    target: str
    executes: str
    images: tuple[Classified, ...]


def predict(options: PredictOptions, progress: Progress | None = None) -> PredictDocument:
    """Classifies image files.

    Raises:
        UsageError: No bundle was named, and there is not exactly one where they are made.
        DmformerError: See `dmformer.evaluation.classifier.Classifier`.
    """
    bundle = options.bundle or only_bundle(BUNDLES)
    with Classifier(bundle, threads=options.threads, device=options.device) as classifier:
        classes = classifier.predict(options.images, options.top_k)
    return PredictDocument(
        bundle=str(classifier.bundle.path),
        target=classifier.bundle.manifest.target,
        executes=classifier.execution.precision,
        images=tuple(
            Classified(path=str(path), classes=best) for path, best in zip(options.images, classes, strict=True)
        ),
    )


def only_bundle(folder: Path) -> Path:
    """The one bundle in a folder.

    Raises:
        UsageError: There is none, or there are several.
    """
    bundles = sorted(entry.parent for entry in folder.glob("*/manifest.json") if not entry.parent.name.startswith("."))
    whole = [path for path in bundles if not path.name.endswith(".rejected")]
    if not whole:
        raise UsageError(
            f"no bundle was named, and there is none under {folder}/", "run dmformer export, or give --bundle"
        )
    if len(whole) > 1:
        names = ", ".join(path.name for path in whole)
        raise UsageError(f"there are several bundles under {folder}/: {names}", "choose one with --bundle")
    return whole[0]
