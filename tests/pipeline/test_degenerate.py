"""Networks at the ends of what a configuration allows, and beyond: they work, or are refused at once by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dmformer.bundle import Bundle
from dmformer.errors import CheckpointError, UsageError
from dmformer.model.canonical import assert_equal, canonicalize
from dmformer.model.checkpoint import load_checkpoint, save_checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.verification import Evidence, verify_bundle
from dmformer.progress import Silent
from tests.model.small_models import images, small_checkpoint, small_config

SMALLEST: dict[str, Any] = {
    "widths": (1, 1, 1, 1), "depths": (1, 1, 1, 1), "ffn_ratios": (0.01, 1, 32, 1), "stem_width": 1, "num_classes": 1,
    "expansion": 1, "gate_reduction": 1024, "kernels": (1,), "dilations": (16,), "in_channels": 1,
}  # fmt: skip
WIDEST: dict[str, Any] = {
    "widths": (1, 3, 1, 5), "depths": (1, 1, 1, 1), "ffn_ratios": (1, 1, 1, 1), "stem_width": 2, "num_classes": 2,
    "expansion": 16, "kernels": (31, 31, 1), "dilations": (16, 1, 16),
}  # fmt: skip


@pytest.mark.parametrize(("values", "size"), [(SMALLEST, (32, 32)), (WIDEST, (32, 64))], ids=["smallest", "widest"])
def test_networks_at_the_ends_are_exported_and_verified(
    values: dict[str, Any], size: tuple[int, int], tmp_path: Path
) -> None:
    save_checkpoint(random_checkpoint(ModelConfig(**values), size=size), tmp_path / "end.safetensors")
    options = ExportOptions(targets=("onnxruntime", "openvino"), golden_images=2, output=tmp_path / "out")
    for outcome in export_bundles(tmp_path / "end.safetensors", options):
        assert outcome.proof.passed, outcome.proof.failures
        assert verify_bundle(Bundle.load(outcome.bundle.path), Evidence(), Silent()).passed


ENDS: dict[str, st.SearchStrategy[Any]] = {
    "widths": st.tuples(*[st.sampled_from([1, 2, 7])] * 4),
    "depths": st.tuples(*[st.sampled_from([1, 3])] * 4),
    "expansion": st.sampled_from([1, 2, 16]),
    "ffn_ratios": st.tuples(*[st.sampled_from([1e-9, 0.4, 1, 32])] * 4),
    "gate_reduction": st.sampled_from([1, 2, 9, 1024]),
    "stem_width": st.sampled_from([1, 5]),
    "in_channels": st.sampled_from([1, 3]),
    "num_classes": st.sampled_from([1, 2, 1000]),
    "norm": st.sampled_from(["batch", "none"]),
    "layer_scale": st.booleans(),
}
LEVELS = st.lists(st.tuples(st.sampled_from([1, 3, 31]), st.sampled_from([1, 2, 16])), min_size=1, max_size=8)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.fixed_dictionaries(ENDS), levels=LEVELS)
def test_weights_alone_tell_the_network_again(
    values: dict[str, Any], levels: list[tuple[int, int]], tmp_path: Path
) -> None:
    kernels, dilations = zip(*levels, strict=True)
    made = random_checkpoint(ModelConfig(**values, kernels=kernels, dilations=dilations), size=32)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(dict(made.state), path)
    found = load_checkpoint(path, dilations=dilations)
    batch = images(made.config, 32)
    with torch.inference_mode():
        assert torch.equal(found.build()(batch), made.build()(batch))
    assert_equal(found.build(), canonicalize(found.build()), batch, rtol=1e-4)


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [0, -1, 2, 1.5, 10**12, 10**400, float("nan"), float("inf"), "x", "", None, [], {}, [[1]], [0] * 4]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(sorted(ModelConfig.model_fields)), value=WRONG, inside=st.booleans())
def test_a_field_that_cannot_be_is_named_and_one_that_can_be_works(
    field: str, value: Any, inside: bool, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    if not path.exists():
        safetensors.torch.save_file(dict(small_checkpoint().state), path)
    document = small_config().model_dump(mode="json")
    old = document[field]
    document[field] = [value, *old[1:]] if inside and isinstance(old, list) else value
    (tmp_path / "config.json").write_text(json.dumps(document))
    try:
        found = load_checkpoint(path)
    except CheckpointError as error:
        assert len(error.message) < 1500 and error.message.isprintable()
        assert field in error.message or "the weights do not fit the network" in error.message
        return
    assert found.build()(images(found.config, 32)).shape == (2, 5)


def without_depth(state: dict[str, Tensor]) -> None:
    for name in [name for name in state if name.startswith("stages.1.")]:
        del state[name]


def even(state: dict[str, Tensor]) -> None:
    for name in [name for name in state if name.endswith("levels.0.weight")]:
        state[name] = torch.zeros(*state[name].shape[:2], 2, 2)


def of_channels(state: dict[str, Tensor]) -> None:
    state["stem.conv1.weight"] = torch.zeros(6, 4, 7, 7)


def no_class(state: dict[str, Tensor]) -> None:
    state |= {"head.weight": torch.zeros(0, 20), "head.bias": torch.zeros(0)}


def odd_expansion(state: dict[str, Tensor]) -> None:
    state["stages.0.0.dma.expand.weight"] = torch.zeros(13, 8, 1, 1)


def other_gate(state: dict[str, Tensor]) -> None:
    state["stages.0.0.dma.gate.reduce.weight"] = torch.zeros(7, 8, 1, 1)


def hole(state: dict[str, Tensor]) -> None:
    state["stages.1.120.ffn.conv1.bias"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [(without_depth, "stages.1.0"), (even, "kernels"), (of_channels, "4 channels"), (no_class, "head.weight"),
     (odd_expansion, "13"), (other_gate, "gate"), (hole, "stages.1.2")],
)  # fmt: skip
def test_shapes_of_no_network_are_named(change: Any, said: str, tmp_path: Path) -> None:
    state = dict(small_checkpoint().state)
    change(state)
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises((CheckpointError, UsageError), match=said) as caught:
        load_checkpoint(tmp_path / "weights.safetensors")
    assert len(caught.value.message) < 1500 and caught.value.message.isprintable()


@pytest.mark.parametrize("side", [-32, 0, 1, 7, 31, 33, 8193, 8224, 10**30])
@pytest.mark.parametrize("other", [None, 32])
def test_sizes_that_no_network_takes_are_refused_at_once(side: int, other: int | None) -> None:
    with pytest.raises(UsageError, match=str(side)):
        random_checkpoint(small_config(), size=side if other is None else (other, side))
