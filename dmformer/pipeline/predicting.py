"""What ``dmformer predict`` does: the task's answers to images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dmformer.documents import Document, schema
from dmformer.errors import UsageError
from dmformer.pipeline.options import BUNDLES
from dmformer.pipeline.requests import PredictOptions
from dmformer.prediction.predictor import Predictor
from dmformer.progress import Progress


class Answered(BaseModel):
    """One image and its answer, whose fields are the task's: see `dmformer.tasks.base.Task.document`.

    Attributes:
        path: The image.
        lines: The answer in words.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str
    lines: tuple[str, ...]


class PredictDocument(Document):
    """The answer to every image, and what computed them."""

    schema_: Literal["dmformer.predict/1"] = schema("dmformer.predict/1")
    bundle: str
    target: str
    executes: str
    images: tuple[Answered, ...]


def predict(options: PredictOptions, progress: Progress | None = None) -> PredictDocument:
    """Runs a bundle on image files.

    Raises:
        UsageError: No bundle was named, and there is not exactly one where they are made.
        DmformerError: See `dmformer.prediction.predictor.Predictor`.
    """
    bundle = options.bundle or only_bundle(BUNDLES)
    with Predictor(bundle, threads=options.threads, device=options.device) as predictor:
        answers = predictor.predict(options.images, options.top_k)
    task = predictor.task
    return PredictDocument(
        bundle=str(predictor.bundle.path),
        target=predictor.bundle.manifest.target,
        executes=predictor.execution.precision,
        images=tuple(
            Answered(path=str(path), lines=tuple(task.lines(answer)), **task.document(answer))
            for path, answer in zip(options.images, answers, strict=True)
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
