"""From a file's tensors to the state of a network: names, configuration, shapes; or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from torch import Tensor

from dmformer.errors import CheckpointError, UsageError
from dmformer.model.config import ModelConfig
from dmformer.model.description import infer_config, required_names
from dmformer.model.naming.choice import LOOK, read_names, said, shapes_of
from dmformer.model.naming.dialect import NATIVE, Dialect
from dmformer.model.naming.differences import differences
from dmformer.model.naming.reading import Reading
from dmformer.model.naming.tensors import renamed
from dmformer.model.state_dicts import RawWeights, checked_state
from dmformer.model.trainers import HEAD, without_head
from dmformer.model.weight_files import NAME
from dmformer.texts import first_problem, one_line


@dataclass(frozen=True)
class Fitted:
    """A network's configuration and state, as a file has them.

    Attributes:
        config: Given or inferred.
        state: float32 tensors, by the network's names.
        notes: What was renamed, left out, inferred, assumed and cast, in words.
    """

    config: ModelConfig
    state: Mapping[str, Tensor]
    notes: tuple[str, ...]


def fit(
    weights: RawWeights,
    config: ModelConfig | None,
    dilations: Sequence[int] | None,
    rules: Dialect | None,
    source: str,
) -> Fitted:
    """Renames, infers what nobody said, and checks every tensor.

    Args:
        weights: What the file holds.
        config: The network; None infers it.
        dilations: Of the levels, over whatever the configuration says.
        rules: A person's, for the names; None takes the dialect that they are in.
        source: The file, for messages.

    Raises:
        CheckpointError: The tensors are no DMFormer, or names leave open which are meant.
        UsageError: The dilations cannot be.
    """
    known = rules is not None or dilations is not None or config is not None
    reading = read_names(shapes_of(weights.tensors), rules, required_names(), source)
    try:
        fitted = _fitted(renamed(weights.tensors, reading), config, dilations, source)
    except CheckpointError as error:
        if (better := _explained(error, reading, known, source)) is None:
            raise
        raise better from error
    if reading.dialect.name != NATIVE:
        if reasons := differences(reading, known):
            raise _no_dmformer(reasons, source)
        if rules is None and "before" in fitted.config.stage_norms and not fitted.config.head.has_weights:
            where = reading.parts["norms_before.0"].path
            raise CheckpointError(
                f"{source}: a backbone alone with norms between its stages ({one_line(where, NAME)}): "
                "the weights do not show whether its feature maps are those in front of them",
                "Give the whole model; or where they are, rules of your own (--names).",
            )
    return Fitted(fitted.config, fitted.state, (*said(reading), *fitted.notes))


def _fitted(
    tensors: Mapping[str, Tensor], config: ModelConfig | None, dilations: Sequence[int] | None, source: str
) -> Fitted:
    config, notes = _configuration(config, dilations, tensors, source)
    if not config.head.has_weights:
        tensors, without = without_head(tensors)
        notes += without
    state, casts = checked_state(tensors, config, source)
    return Fitted(config, state, (*notes, *casts))


def _configuration(
    config: ModelConfig | None, dilations: Sequence[int] | None, tensors: Mapping[str, Tensor], source: str
) -> tuple[ModelConfig, list[str]]:
    """The given configuration or the inferred one, with the dilations asked for, and what was assumed."""
    notes = []
    if config is None:
        config = infer_config(shapes_of(tensors), source)
        notes.append("the configuration is inferred from the tensors' names and shapes")
        if dilations is None:
            assumed = ", ".join(str(dilation) for dilation in config.dilations)
            notes.append(f"dilations {assumed} are assumed, as in the paper: weights do not show them")
    if config.head.has_weights and not any(name.startswith(HEAD) for name in tensors):
        config = config.headless()
        notes.append("there is no head: it is a backbone, whose four feature maps are exported")
    if dilations is None:
        return config, notes
    try:
        return ModelConfig.model_validate({**config.model_dump(), "dilations": tuple(dilations)}), notes
    except ValidationError as error:
        raise UsageError(f"dilations {tuple(dilations)}: {first_problem(error)}") from error


def _explained(error: CheckpointError, reading: Reading, known: bool, source: str) -> CheckpointError | None:
    """What makes it no DMFormer, where that is recognised; else in whose names it does not fit, where that helps."""
    if reasons := differences(reading, known):
        return _no_dmformer(reasons, source)
    if reading.dialect.name == NATIVE:
        return CheckpointError(error.message, f"{error.hint} {LOOK}") if reading.unknown else None
    return CheckpointError(f"{error.message} (read with the names of {reading.dialect.title})", LOOK)


def _no_dmformer(reasons: Sequence[str], source: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: is no DMFormer as this project knows it: {'; '.join(reasons)}",
        "No renaming mends that: these weights compute something else. Train the network that dmformer.DMFormer is.",
    )
