"""How a checkpoint's images become its input: what was given, what is assumed, and the note that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dmformer.errors import CheckpointError, UsageError
from dmformer.model.config import ModelConfig, check_size
from dmformer.preprocessing import Preprocessing

FIELDS = tuple(Preprocessing.model_fields)
GREY: Mapping[str, Any] = {"mean": (0.5,), "std": (0.5,), "channel_order": "grey"}
"""What is assumed of a network with one channel."""


def default_preprocessing(size: tuple[int, int] | None, config: ModelConfig) -> Preprocessing:
    """ImageNet's for colour images, mean and deviation of one half for grey ones; size and resize are the head's."""
    if config.in_channels not in (1, 3):
        raise UsageError(f"the network takes {config.in_channels} channels, but images have 1 (grey) or 3 (colour)")
    form: dict[str, Any] = {"size": (config.head.side,) * 2, "resize": config.head.resize}
    usual = Preprocessing(**form, **(GREY if config.in_channels == 1 else {}))
    return usual if size is None else usual.resized_to(size)


def choose_preprocessing(
    given: Preprocessing | None, described: Preprocessing | None, config: ModelConfig, source: str
) -> tuple[Preprocessing, tuple[str, ...]]:
    """The preprocessing to use, checked against the network, and the fields that are assumed."""
    spec = given or described
    if spec is None:
        return default_preprocessing(None, config), FIELDS
    kind_of_error = UsageError if given else CheckpointError
    try:
        check_size(spec.size)
    except UsageError as error:
        raise kind_of_error(f"{source}: {error.message}") from error
    if spec.channels != config.in_channels:
        raise kind_of_error(
            f"{source}: preprocessing for {spec.channels} channels, but the network takes {config.in_channels}"
        )
    return spec, ()


def assumption(spec: Preprocessing, assumed: Iterable[str]) -> tuple[str, ...]:
    """The note that names every assumed value that has an effect; none where nothing is assumed."""
    open_fields = set(assumed)
    if open_fields == set(FIELDS):
        kind = "ImageNet's preprocessing" if spec.channels == 3 else "grey with mean and deviation 0.5"
        form = "" if spec.resize == "shorter" else f" with resize {spec.resize}"
        return (f"an input of {spec.size[0]}x{spec.size[1]} and {kind}{form} are assumed",)
    values = {
        **spec.model_dump(include={"resize", "interpolation", "channel_order"}),
        "size": "x".join(map(str, spec.size)),
        "mean": ",".join(map(str, spec.mean)),
        "std": ",".join(map(str, spec.std)),
        **({"resize_to": spec.shorter_side} if spec.resize == "shorter" else {}),
        **({"fill": spec.fill} if spec.resize == "letterbox" else {}),
    }
    said = [f"{name} {values[name]}" for name in FIELDS if name in values and name in open_fields]
    return (f"of the preprocessing, these are assumed: {'; '.join(said)}",) if said else ()
