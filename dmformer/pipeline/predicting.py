"""What ``dmformer predict`` does: the task's answers to images."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dmformer.documents import Document, schema
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
        DmformerError: See `dmformer.prediction.predictor.Predictor`.
    """
    with Predictor(options.bundle, threads=options.threads, device=options.device) as predictor:
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
