"""What ``dmformer inspect FILE --names`` does: what each tensor is taken for, and rules for a person to complete."""

from __future__ import annotations

from pathlib import Path

from dmformer.errors import CheckpointError, UsageError
from dmformer.files import check_output, write_output
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.description import required_names
from dmformer.model.naming.choice import LOOK, closest_reading, said, shapes_of
from dmformer.model.naming.document import named_tensors, rules_text
from dmformer.model.place import place_of
from dmformer.model.state_dicts import read_weights
from dmformer.pipeline.inspected import NamedTensor, NamesDocument
from dmformer.pipeline.requests import InspectOptions

COMPLETE = "--names-out RULES.toml writes what is proposed; complete it, then: dmformer export FILE --names RULES.toml"


def describe_names(options: InspectOptions) -> NamesDocument:
    """What the tensors of weights are taken for; with ``names_out`` writes rules too.

    Raises:
        UsageError: No file is named.
        CheckpointError: It cannot be read.
        OutputError: The rules cannot be written there.
    """
    if options.path is None:
        raise UsageError("--names tells of a weights file, and none was given", "name the file")
    if options.names_out is not None:
        # A file of rules there may be a person's work: it is not replaced without being told to.
        check_output(options.names_out, force=options.force, option="--names-out", inputs=[options.path])
    file = place_of(options.path).file
    shapes = shapes_of(read_weights(file, options.key).tensors)
    reading = closest_reading(shapes, required_names())
    if options.names_out is not None:
        write_output(options.names_out, rules_text(reading).encode(), None, options.force, "--names-out")
    problem = why_not(file, options.key)
    return NamesDocument(
        path=str(options.path),
        names_of=reading.dialect.title,
        loads=problem is None,
        problem=problem.message if problem else None,
        hint=problem.hint.replace(LOOK, COMPLETE) if problem and problem.hint else None,
        tensors=tuple(NamedTensor(**vars(tensor)) for tensor in named_tensors(reading, shapes)),
        missing=reading.missing(required_names()),
        notes=tuple(said(reading)),
        rules=str(options.names_out) if options.names_out else None,
    )


def why_not(path: Path, key: str | None) -> CheckpointError | None:
    """Why weights do not load as they are."""
    try:
        load_checkpoint(path, key=key)
    except CheckpointError as error:
        return error
    return None
