"""What ``dmformer predict`` does: the task's answers to images."""

from __future__ import annotations

from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from PIL.PngImagePlugin import PngInfo
from pydantic import BaseModel, ConfigDict

from dmformer.data.images import load_image
from dmformer.documents import Document, schema
from dmformer.errors import UsageError
from dmformer.files import check_output, marked, write_output
from dmformer.pipeline.requests import PredictOptions
from dmformer.prediction.predictor import Predictor
from dmformer.progress import Progress
from dmformer.tasks.base import Answer, Task

MARK = "dmformer predict --overlay"
"""Inside the pictures that are written: the same command may write them again."""


class Answered(BaseModel):
    """One image and its answer, whose fields are the task's: see `dmformer.tasks.base.Task.document`.

    Attributes:
        path: The image.
        overlay: The answer drawn over it, where that was asked for.
        lines: The answer in words.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    path: str
    overlay: str | None = None
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
    pictures = overlay_files(options)
    with Predictor(options.bundle, threads=options.threads, device=options.device, tile=options.tile) as predictor:
        answers = predictor.predict(options.images, options.top_k)
    task = predictor.task
    for path, answer, picture in zip(options.images, answers, pictures, strict=False):
        draw(task, answer, path, picture)
    return PredictDocument(
        bundle=str(predictor.bundle.path),
        target=predictor.bundle.manifest.target,
        executes=predictor.execution.precision,
        images=tuple(
            Answered(
                path=str(path),
                overlay=str(picture) if picture else None,
                lines=tuple(task.lines(answer)),
                **task.document(answer),
            )
            for path, answer, picture in zip_longest(options.images, answers, pictures)
        ),
    )


def for_device(options: PredictOptions) -> PredictOptions:
    """What is asked of another machine.

    Raises:
        DmformerError: See `overlay_files`.
    """
    overlay_files(options)
    return options


def overlay_files(options: PredictOptions) -> tuple[Path, ...]:
    """Where the drawn answers go, one for each image; none where they were not asked for.

    Raises:
        OutputError: A picture cannot be written there.
        UsageError: The file is no PNG, or two images have one name.
    """
    place, images = options.overlay, options.images
    if place is None:
        return ()
    several = len(images) > 1 or place.is_dir()
    files = tuple(place / f"{image.stem}.overlay.png" for image in images) if several else (place,)
    if place.suffix.lower() not in ("", ".png") or not (several or place.suffix):
        raise UsageError(f"--overlay {place}: is no name of a PNG", "end it in .png, or name a directory that exists")
    if len({*files}) < len(files):
        raise UsageError(f"--overlay {place}: two images have one name", "give them in two runs")
    for file in files:
        check_output(file, marked(MARK), None, images, option="--overlay")
    return files


def draw(task: Task, answer: Answer, image: Path, file: Path) -> None:
    """Writes an answer, drawn over its image, as a PNG."""
    picture, buffer, about = task.picture(answer, load_image(image)), BytesIO(), PngInfo()
    about.add_text("Software", MARK)
    picture.save(buffer, "PNG", pnginfo=about)
    write_output(file, buffer.getvalue(), marked(MARK), None, option="--overlay")
