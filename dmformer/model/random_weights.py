"""Seeded random weights, which stand in for trained ones where only speed matters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dmformer.model.checkpoint import Checkpoint, digest_of
from dmformer.model.config import ModelConfig, check_size
from dmformer.model.config import preset as named_config
from dmformer.model.inputs import default_preprocessing
from dmformer.model.state_dicts import expected_shapes, sorted_bytes
from dmformer.texts import safe_name


def random_checkpoint(
    preset: str | ModelConfig, seed: int = 0, size: int | tuple[int, int] | None = None, name: str | None = None
) -> Checkpoint:
    """Seeded weights whose activations stay in a sane range, with BatchNorm statistics as after training.

    Args:
        preset: ``tiny``, ``small`` or ``large``, or a configuration.
        seed: Same seed, same weights.
        size: Input side or (height, width); None takes what is usual for the head.
        name: Of the checkpoint; ``dmformer-<preset>`` where None.

    Raises:
        UsageError: No such preset, or a size that the network cannot take.
    """
    config = named_config(preset) if isinstance(preset, str) else preset
    spec = default_preprocessing((size, size) if isinstance(size, int) else size, config)
    check_size(spec.size)
    generator = torch.Generator().manual_seed(seed)
    state = {
        key: _random_tensor(key, shape, config, generator) for key, shape in sorted(expected_shapes(config).items())
    }
    return Checkpoint(
        config=config,
        state=state,
        preprocessing=spec,
        labels=None,
        name=safe_name(name or f"dmformer-{preset if isinstance(preset, str) else 'custom'}"),
        content=digest_of(sorted_bytes(state)),
        notes=(f"random weights (seed {seed}): they show speed, never accuracy",),
    )


def _random_tensor(name: str, shape: tuple[int, ...], config: ModelConfig, generator: torch.Generator) -> Tensor:
    """Variance-preserving weights (He), small biases, and norms away from the identity."""
    owner, kind = name.rsplit(".", 1)
    part = owner.rsplit(".", 1)[-1]
    if kind == "running_var" or (part.startswith(("norm", "bn")) and kind == "weight"):
        return torch.empty(shape).uniform_(0.7, 1.4, generator=generator)
    if part.startswith("scale"):
        return torch.empty(shape).uniform_(0.05, 0.2, generator=generator)
    noise = torch.empty(shape).normal_(generator=generator)
    if kind != "weight":
        return noise * 0.1
    variance = 1 / math.prod(shape[1:])
    if ".levels." in name:
        variance /= len(config.kernels)
    if part in ("fuse", "conv2"):  # behind a ReLU or GELU, which halves the second moment
        variance *= 2
    if not config.layer_scale and name.endswith((".fuse.weight", ".ffn.conv2.weight")):
        variance *= 0.1**2
    return noise * math.sqrt(variance)
