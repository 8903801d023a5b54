"""What ``dmformer embed`` does: a project around a bundle's engine."""

from __future__ import annotations

from typing import Literal

from dmformer.bundle import Bundle
from dmformer.documents import Document, schema
from dmformer.embedding.languages import Step
from dmformer.embedding.project import embed as write_project
from dmformer.pipeline.requests import EmbedOptions
from dmformer.progress import Progress


class EmbedDocument(Document):
    """A project on disk: where it is, what it holds, and what to type there next."""

    schema_: Literal["dmformer.embed/1"] = schema("dmformer.embed/1")
    path: str
    language: str
    target: str
    files: int
    bytes: int
    commands: tuple[str, ...]
    steps: tuple[Step, ...]


def embed(options: EmbedOptions, progress: Progress | None = None) -> EmbedDocument:
    """Writes a project around an engine.

    Raises:
        DmformerError: See `dmformer.embedding.project.embed`.
    """
    project = write_project(Bundle.load(options.bundle), options.lang, options.output, options.force, options.name)
    return EmbedDocument(
        path=str(project.path),
        language=project.language,
        target=project.target,
        files=project.files,
        bytes=project.bytes,
        commands=tuple(step.command for step in project.steps),
        steps=project.steps,
    )
