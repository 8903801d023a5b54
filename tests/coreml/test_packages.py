"""Packages built for real, read back and run without coremltools."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmformer.graph.coreml.conversion import Recipe, convert
from dmformer.graph.coreml.package import write_package
from dmformer.graph.coreml.quantization import weight_codes
from dmformer.graph.qdq.affine import Range
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from dmformer.preprocessing import Preprocessing, pixels_of, preprocess
from dmformer.runtimes.coreml.neural_engine import neural_engine_hints
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.package import Package, read_package
from dmformer.tasks.classification import LinearHead
from tests.support import TINY, random_batch, random_images, run

BATCH = random_batch(2)


def made(network: DMFormer, recipe: Recipe, folder: Path) -> Package:
    write_package(convert(network, recipe), folder / "model.mlpackage")
    return read_package(folder / "model.mlpackage")


def logits(package: Package, batch: np.ndarray) -> np.ndarray:
    return np.asarray(Evaluator(package).run({"image": batch})["logits"])


def expected(network: DMFormer, batch: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(batch)).numpy())


def picture_tensor(spec: Preprocessing) -> np.ndarray:
    return preprocess(random_images(1)[0], spec)[None]


def test_float32_is_pytorch_s(canonical: DMFormer, reference: DMFormer, checkpoint: Checkpoint, tmp_path: Path) -> None:
    recipe = Recipe(checkpoint.preprocessing, half=False, image_input=False, batches=(1, 2))
    package = made(canonical, recipe, tmp_path)
    assert package.model.version == 6, "iOS 15"
    np.testing.assert_allclose(logits(package, BATCH), expected(reference, BATCH), atol=1e-5)


def pixels(tensor: NDArray[np.float32], spec: Preprocessing) -> NDArray[np.float32]:
    return pixels_of(tensor, spec).astype(np.float32)


def test_float16_rounds_every_tensor(plain: Path, reference: DMFormer, checkpoint: Checkpoint) -> None:
    package, tensor = read_package(plain), picture_tensor(checkpoint.preprocessing)
    (image,) = package.model.inputs
    assert (image.kind, image.colours, image.shape) == ("image", "rgb", (32, 32))
    found = logits(package, pixels(tensor, checkpoint.preprocessing))
    np.testing.assert_allclose(found, expected(reference, tensor), atol=0.02)
    assert np.array_equal(found, found.astype(np.float16)), "the last operator's result is a half"


@pytest.mark.parametrize("order", ["bgr", "grey"])
def test_pictures_of_other_channels(order: str, tmp_path: Path) -> None:
    channels = 1 if order == "grey" else 3
    mean, std = (0.1, 0.5, 0.9)[:channels], (0.2, 0.3, 0.4)[:channels]
    spec = Preprocessing(size=(32, 64), mean=mean, std=std, channel_order=order)
    network = random_checkpoint(TINY.model_copy(update={"in_channels": channels}), size=32).build()
    package = made(canonicalize(network), Recipe(spec, half=False), tmp_path)
    tensor = picture_tensor(spec)
    assert package.model.inputs[0].colours == order
    np.testing.assert_allclose(logits(package, pixels(tensor, spec)), expected(network, tensor), atol=1e-4)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 3), st.sampled_from([(1,), (3, 7), (5, 3)]), st.integers(1, 3), st.integers(1, 9))
def test_any_configuration(
    tmp_path_factory: pytest.TempPathFactory, expansion: int, kernels: tuple[int, ...], dilation: int, classes: int
) -> None:
    config = ModelConfig(
        widths=(3, 5, 7, 4), depths=(1, 1, 2, 1), ffn_ratios=(1, 2, 0.5, 1), stem_width=2,
        head=LinearHead(classes=classes),
        expansion=expansion, kernels=kernels, dilations=(dilation,) * len(kernels),
    )  # fmt: skip
    network = random_checkpoint(config, size=32).build()
    spec = Preprocessing(size=(32, 32))
    package = made(canonicalize(network), Recipe(spec, half=False, image_input=False), tmp_path_factory.mktemp("any"))
    np.testing.assert_allclose(logits(package, BATCH[:1]), expected(network, BATCH[:1]), atol=1e-4)


def test_w8a16_is_the_network_with_rounded_weights(
    canonical: DMFormer, checkpoint: Checkpoint, layers: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = Recipe(
        checkpoint.preprocessing, half=False, image_input=False, deployment_target="iOS16", int8_layers=layers
    )
    package = made(canonical, recipe, tmp_path)
    kinds = [op.kind for op in package.model.program.operations]
    assert kinds.count("constexpr_affine_dequantize") == len(layers)
    assert "quantize" not in kinds
    assert package.model.version == 7
    state = {name: tensor.clone() for name, tensor in canonical.state_dict().items()}
    for name in layers:
        codes, scales = weight_codes(state[f"{name}.weight"].numpy(), np.float32)
        shape = (-1, *[1] * (codes.ndim - 1))
        state[f"{name}.weight"] = torch.from_numpy(codes * scales.reshape(shape))
    rounded = DMFormer(checkpoint.config.canonical()).eval()
    rounded.load_state_dict(state)
    np.testing.assert_allclose(logits(package, BATCH[:1]), expected(rounded, BATCH[:1]), atol=1e-5)


def test_w8a8_shares_one_pair_among_the_readers_of_a_value(
    canonical: DMFormer, checkpoint: Checkpoint, layers: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = Recipe(
        checkpoint.preprocessing, deployment_target="iOS17", int8_layers=layers,
        ranges={name: Range(-3.0, 4.0) for name in layers}, labels=checkpoint.labels,
    )  # fmt: skip
    package = made(canonical, recipe, tmp_path)
    kinds = [op.kind for op in package.model.program.operations]
    blocks = sum(checkpoint.config.depths)
    assert kinds.count("quantize") == kinds.count("dequantize") == len(layers) - 2 * blocks, (
        "three levels read one value"
    )
    found = Evaluator(package).run(
        {"image": pixels(picture_tensor(checkpoint.preprocessing), checkpoint.preprocessing)}
    )
    (label,), (shares,) = found["classLabel"], found["classLabel_probs"]
    assert label == max(shares, key=shares.get)
    assert shares.keys() == set(checkpoint.labels or ())
    assert (checkpoint.labels or ())[int(found["logits"].argmax())] == label
    assert sum(shares.values()) == pytest.approx(1, abs=1e-2)


def test_the_same_input_gives_the_same_bytes(
    plain: Path, canonical: DMFormer, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    made(canonical, Recipe(checkpoint.preprocessing), tmp_path)
    again = tmp_path / "model.mlpackage"
    files = [path.relative_to(plain) for path in sorted(plain.rglob("*")) if path.is_file()]
    assert len(files) == 3
    for name in files:
        assert (plain / name).read_bytes() == (again / name).read_bytes(), name


def test_the_evaluator_needs_nothing_of_the_export_side(plain: Path) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.package import read_package
found = Evaluator(read_package(Path(sys.argv[1]))).run({"image": np.zeros((1, 3, 32, 32), np.float32)})
assert found["logits"].shape == (1, 10)
loaded = {"torch", "coremltools", "onnxscript", "safetensors"} & set(sys.modules)
sys.exit(str(loaded) if loaded else 0)
"""
    done = run(plain, code=code)
    assert done.returncode == 0, done.stderr


def test_weight_codes_stay_above_the_smallest_half() -> None:
    weight = np.array([[1e-6, -1e-6], [0, 0], [1.27, -0.5]], np.float32)
    codes, scales = weight_codes(weight, np.float16)
    assert (scales >= 2.0**-14).all()
    assert np.abs(codes * scales[:, None].astype(np.float32) - weight).max() <= 0.006
    assert codes[2].tolist() == [127, -50]


def test_neural_engine_hints_name_their_sources(plain: Path) -> None:
    hints = neural_engine_hints(plain)
    assert {"5x5 convolutions with dilation 2", "7x7 convolutions with dilation 3"} <= {hint.what for hint in hints}
    assert not any("float32" in hint.what for hint in hints)
    assert all(hint.count and hint.why and hint.source for hint in hints)


def test_coremltools_is_not_needed_to_read(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    assert read_package(plain).model.metadata is not None
