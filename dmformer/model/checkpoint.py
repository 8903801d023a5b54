"""Checkpoints: trained weights with all that is needed to use them.

`load_checkpoint` reads what trainers write, `save_checkpoint` writes what this project reads back
without assumptions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from dmformer.errors import CheckpointError, OutputError, UsageError
from dmformer.fields import Palette
from dmformer.files import write_output
from dmformer.model.class_names import choose_names, choose_palette
from dmformer.model.config import ModelConfig
from dmformer.model.description import Description, read_description
from dmformer.model.fitting import fit
from dmformer.model.foreign import completed, said_elsewhere
from dmformer.model.inputs import assumption, choose_preprocessing
from dmformer.model.legend import checked_palette, choose_labels
from dmformer.model.naming.dialect import DialectFile, read_rules, with_rules
from dmformer.model.naming.modules import COUNTER
from dmformer.model.network import DMFormer
from dmformer.model.place import place_of
from dmformer.model.sidecar import MAX_JSON_BYTES
from dmformer.model.state_dicts import (
    METADATA_KEY,
    RawWeights,
    check_values,
    checked_state,
    expected_shapes,
    read_weights,
    sorted_bytes,
)
from dmformer.model.trainers import without_head
from dmformer.preprocessing import Preprocessing
from dmformer.texts import brief, safe_name
from dmformer.weights import LateDigest


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights, checked against their configuration.

    Attributes:
        config: The network that the weights belong to.
        state: float32 tensors, all finite, by the names of ``DMFormer(config).state_dict()`` (without
            the counters ``num_batches_tracked``, which inference does not need).
        preprocessing: How an image becomes the network's input.
        labels: One per class, or None where nobody gave them.
        palette: A colour, red, green and blue of 0 to 255, per class, or None where nobody gave them.
        name: A short name fit for a file name: from the metadata or the file's stem.
        content: SHA-256 (hex), see ``digest``, or what computes it when it is asked for.
        notes: What was assumed or inferred, in words for the user.
        key: Where in the file the weights are, where somebody said so.
        names: A person's rules for the tensors' names, where there were any.
        origin: The hub's address with the commit, ``hf://org/name@commit``; None of a file.
        assumed: Fields of ``preprocessing`` that nobody gave; ``notes`` says them in words.

    Examples:
        >>> import dmformer
        >>> checkpoint = dmformer.load_checkpoint("shapes.safetensors")
        >>> checkpoint.name, checkpoint.labels[:2], checkpoint.preprocessing.size
        ('shapes', ('circle', 'square'), (32, 32))
    """

    config: ModelConfig
    state: Mapping[str, Tensor]
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    name: str
    content: str | LateDigest
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    palette: Palette | None = None
    key: str | None = None
    names: DialectFile | None = None
    origin: str | None = None

    def __repr__(self) -> str:
        parameters = sum(tensor.numel() for tensor in self.state.values())
        facts = {"name": self.name, "size": self.preprocessing.size, "classes": self.config.classes}
        return brief("Checkpoint", {**facts, "parameters": parameters})

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file's bytes; of names, shapes and values for weights that were never in a file.

        Raises:
            CheckpointError: The file has changed since it was read.
        """
        return self.content if isinstance(self.content, str) else self.content.value

    @classmethod
    def from_model(
        cls,
        model: DMFormer,
        preprocessing: Preprocessing,
        labels: Sequence[str] | None = None,
        name: str = "dmformer",
        palette: Palette | None = None,
    ) -> Checkpoint:
        """What a trainer has at its end: copies of a network's weights, with how images were prepared for it.

        Args:
            model: Trained; without wrappers of a trainer or compiler.
            preprocessing: As in training.
            labels: Class names in order.
            name: Fit for a file name.
            palette: A colour, red, green and blue of 0 to 255, for each class.

        Raises:
            CheckpointError: The weights are not finite.
            UsageError: Another number of labels or colours than of classes, or preprocessing for other channels.
        """
        expected = expected_shapes(model.config)
        tensors = {key: value.detach().cpu().clone() for key, value in model.state_dict().items() if key in expected}
        state, _ = checked_state(tensors, model.config, name)
        spec, _ = choose_preprocessing(preprocessing, None, model.config, name)
        named = choose_labels(labels, Description(), model.config, Path(name))
        colours = checked_palette(palette, model.config, UsageError, name)
        digest = digest_of(sorted_bytes(state))
        return cls(model.config, state, spec, named, safe_name(name), digest, palette=colours)

    def with_preprocessing(self, spec: Preprocessing, given: Collection[str]) -> Checkpoint:
        """The same with other preprocessing.

        Args:
            spec: How an image becomes the network's input.
            given: Its fields that are assumed no more.
        """
        left = tuple(name for name in self.assumed if name not in given)
        before = assumption(self.preprocessing, self.assumed)
        notes = (*(note for note in self.notes if note not in before), *assumption(spec, left))
        return replace(self, preprocessing=spec, notes=notes, assumed=left)

    def headless(self) -> Checkpoint:
        """The backbone alone, for its four feature maps."""
        config, (state, note) = self.config.headless(), without_head(self.state)
        name, notes = safe_name(f"{self.name[:70]}-{config.task.name}"), (*self.notes, *note)
        return replace(self, config=config, state=state, labels=None, palette=None, name=name, notes=notes)

    def with_labels(self, labels: Sequence[str] | Path) -> Checkpoint:
        """The same with other class names.

        Args:
            labels: In order, or a file of them as `load_checkpoint` reads.

        Raises:
            UsageError: Another number of labels than of classes, or control characters in one.
        """
        return replace(self, labels=choose_labels(labels, Description(), self.config, Path(self.name)))

    def build(self) -> DMFormer:
        """The network with copies of these weights: float32, eval mode, no gradients.

        Raises:
            CheckpointError: Values that no trained network has.
        """
        for name, tensor in self.state.items():
            check_values(name, tensor, self.name)
        with torch.device("meta"):
            model = DMFormer(self.config)
        counters = (name for name in model.state_dict() if name.endswith(COUNTER))
        state = {name: tensor.clone() for name, tensor in self.state.items()}
        state |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
        model.load_state_dict(state, assign=True)
        return model.eval().requires_grad_(False)


def load_checkpoint(
    path: str | Path | None = None,
    *,
    config: ModelConfig | None = None,
    dilations: Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
    labels: Sequence[str] | Path | None = None,
    names: DialectFile | str | Path | None = None,
    key: str | None = None,
) -> Checkpoint:
    """Reads weights from ``.safetensors``, a torch file or a folder of them, without ever unpickling objects.

    Configuration, preprocessing and labels are each taken from the argument, else the file's metadata,
    else ``config.json`` beside the file; a configuration that nobody gives is inferred from the shapes.
    Of another program's ``config.json``, labels and images' sizes are taken where they are plain; likewise labels that
    a trainer wrote into the file (``names``, ``classes``, ``class_names``, ``class_to_idx``, also under ``args``).
    Every assumption is in the result's ``notes``.

    Args:
        path: The file, or the folder that holds it or its shards; trainers' nesting (EMA preferred), what they put
            into names, and the names of other code bases are understood. None reads the embedded checkpoint.
        config: The network's configuration.
        dilations: Of DMA's levels, over whatever the configuration says: weights do not show them.
        preprocessing: How training prepared images.
        labels: Class names in order, or a path (also as ``str``) to a text file of one per line or a JSON list.
        names: Rules for the tensors' names, or the file of them; see ``dmformer inspect FILE --names``.
        key: Where in the file the weights are, as ``ema`` or ``state.model``; None takes averaged ones first.

    Returns:
        The weights, checked, with all that is needed to use them.

    Raises:
        CheckpointError: The file is unreadable, hostile, of another network or not finite.
        UsageError: Arguments that do not fit the weights.

    Examples:
        >>> import dmformer
        >>> dmformer.load_checkpoint("shapes.safetensors").config.classes
        10
    """
    place = place_of(path)
    path = place.file
    content = LateDigest.of(path)
    weights = read_weights(path, key)
    described, foreign, aside = read_description(weights.metadata, path)
    own = read_rules(Path(names)) if isinstance(names, str | Path) else names
    fitted = fit(weights, config or described.model, dilations, with_rules(own) if own else None, str(path))
    config = fitted.config
    prepared, left = choose_preprocessing(preprocessing, described.preprocessing, config, str(path))
    described, said = _with_classes(described, weights, config, labels is not None)
    others = said_elsewhere(path, foreign, weights.options, config) if left or not described.labels else ()
    known = completed(others, described.labels, labels is not None, prepared, left)
    described = described.model_copy(update={"labels": known.labels})
    return Checkpoint(
        config=config,
        state=fitted.state,
        preprocessing=known.preprocessing,
        labels=choose_labels(labels, described, config, path),
        name=safe_name(described.name or place.name),
        content=content,
        notes=(*place.notes, *weights.notes, *aside, *fitted.notes, *said, *known.notes),
        assumed=known.assumed,
        palette=checked_palette(described.palette, config, CheckpointError, str(path)),
        key=key,
        names=own,
        origin=place.origin,
    )


def _with_classes(
    described: Description, weights: RawWeights, config: ModelConfig, named: bool
) -> tuple[Description, tuple[str, ...]]:
    """The description with the classes that a trainer wrote into the file, where it has none; and a note on it."""
    if not config.head.has_weights:
        return described.model_copy(update={"labels": None, "palette": None}), ()
    palette = described.palette or choose_palette(weights.palettes, config.classes)
    described = described.model_copy(update={"palette": palette})
    if named or described.labels is not None:
        return described, ()
    labels, said = choose_names(weights.names, config.classes)
    return described.model_copy(update={"labels": labels}), said


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Writes a ``.safetensors`` file that `load_checkpoint` reads back without assumptions.

    The same checkpoint gives the same bytes. The file appears whole or not at all, and an existing
    one is replaced only by a whole one.

    Args:
        checkpoint: The weights, with preprocessing and labels.
        path: The file; its name ends in ``.safetensors``.

    Raises:
        OutputError: Another suffix, or the file cannot be written there.

    Examples:
        >>> import dmformer
        >>> checkpoint = dmformer.load_checkpoint("shapes.safetensors")
        >>> dmformer.save_checkpoint(checkpoint, "copy.safetensors")
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: checkpoints are written as .safetensors", "Give a path that ends in .safetensors.")
    description = Description(
        model=checkpoint.config,
        preprocessing=checkpoint.preprocessing,
        labels=checkpoint.labels,
        palette=checkpoint.palette,
        name=checkpoint.name,
    ).to_json()
    if len(description) > MAX_JSON_BYTES:
        raise OutputError(f"{path}: configuration and labels take more than 1 MiB", "Shorten the labels.")
    tensors = {name: checkpoint.state[name].contiguous() for name in sorted(checkpoint.state)}
    write_output(path, safetensors.torch.save(tensors, {METADATA_KEY: description}), force=True, option="path")


def digest_of(chunks: Iterable[bytes]) -> str:
    """SHA-256 of the chunks together, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
