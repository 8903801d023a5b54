"""Verification of real engines, whole ones and ones that answer something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.bundle import Bundle, assemble
from dmformer.data.dataset import Dataset
from dmformer.data.open import open_dataset
from dmformer.errors import BundleError, EngineError
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.verify import verify
from dmformer.framing import Framing
from dmformer.golden import Golden
from dmformer.manifest import Tolerance
from dmformer.model.network import DMFormer
from dmformer.pipeline.reference import infer, reference_outputs
from dmformer.progress import Silent
from dmformer.runtimes.base import Array, Execution, Session
from dmformer.runtimes.engine import open_engine
from tests.support import TARGETS, engine_of, invoke, random_batch, random_images

Exported = Callable[..., Path]


def with_golden(bundle: Bundle, golden: Golden, directory: Path) -> Bundle:
    """The same engine with other golden samples."""
    shutil.copytree(bundle.path, directory)
    roles = {name: entry.role for name, entry in bundle.manifest.files.items() if entry.role != "golden"}
    return assemble(directory, bundle.manifest, golden, roles)


def outputs_on(dataset: Dataset, reference: DMFormer, bundle: Bundle, folder: Path) -> ReferenceOutputs:
    spec = bundle.manifest.preprocessing
    return reference_outputs(reference, dataset, Framing(spec), folder / "reference.f32", Silent())


@pytest.mark.parametrize("target", TARGETS)
def test_a_good_engine_passes_with_torch_s_answers_and_without(
    exported: Exported, reference: DMFormer, labelled: Path, target: str, tmp_path: Path
) -> None:
    bundle, dataset = Bundle.load(exported(target)), open_dataset(labelled)
    outputs = outputs_on(dataset, reference, bundle, tmp_path)
    proof = verify(bundle, outputs)
    assert proof.passed, proof.failures
    golden, images = proof.comparisons
    assert (golden.images, images.images) == (6, 12)
    assert images.agreement == 1.0
    assert images.figures["top1"].drop == images.figures["top5"].drop == 0
    assert images.max_abs_error is not None
    assert images.max_abs_error < 1e-4
    assert images.data_sha256 == dataset.digest()
    counted = verify(bundle, dataset=dataset).comparisons[1]
    assert (counted.agreement, counted.figures["top1"].reference) == (None, None)
    assert counted.figures["top1"].engine == images.figures["top1"].engine


def test_the_reference_s_top1_comes_from_the_proof_where_it_has_the_same_set(
    exported: Exported, reference: DMFormer, labelled: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported("onnxruntime"), tmp_path / "bundle")
    bundle, dataset = Bundle.load(tmp_path / "bundle"), open_dataset(labelled)
    proof = verify(bundle, outputs_on(dataset, reference, bundle, tmp_path))
    proven = bundle.with_proof(proof)
    assert Bundle.load(tmp_path / "bundle").manifest.proof == proof
    again = verify(proven, dataset=dataset).comparisons[1]
    assert again.figures["top1"] == proof.comparisons[1].figures["top1"]
    assert again.figures["top1"].reference is not None
    other = dataset.select(range(6))
    assert verify(proven, dataset=other).comparisons[1].figures["top1"].reference is None


def test_an_engine_that_answers_something_else_fails(exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    golden = bundle.golden()
    other = with_golden(bundle, replace(golden, outputs=golden.outputs[::-1].copy()), tmp_path / "other")
    proof = verify(other)
    assert not proof.passed
    assert len(proof.failures) == 3
    assert proof.failures[0].startswith("golden samples, pictures of another kind: max abs error")
    loose = Tolerance(max_abs_error=1e6, min_sqnr_db=-200)
    assert verify(other, tolerance=loose).passed
    judged = verify(other, tolerance=Tolerance(min_agreement=1.0, on_few_images=True))
    assert [failure for failure in judged.failures if "agreement" in failure]


def test_preprocessing_that_differs_is_told_from_an_engine_that_differs(exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    golden = bundle.golden()
    image = golden.images[2].copy()
    image[image.shape[0] // 2] ^= 0x70
    changed = replace(golden, images=(*golden.images[:2], image, *golden.images[3:]))
    proof = verify(with_golden(bundle, changed, tmp_path / "other"))
    assert [failure for failure in proof.failures if "preprocessing differs" in failure] == list(proof.failures)
    assert not proof.passed


def test_one_step_of_eight_bits_is_forgiven(exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    golden = bundle.golden()
    std = np.asarray(bundle.manifest.preprocessing.std, np.float32)[:, None, None]
    for steps, passes in ((1, True), (2, False)):
        tensors = golden.tensors + np.float32(steps / 255) / std
        with open_engine(bundle) as engine:
            outputs = engine.run_tensors(tensors).outputs
        moved = with_golden(bundle, replace(golden, tensors=tensors, outputs=outputs), tmp_path / f"moved-{steps}")
        assert verify(moved).passed is passes


@pytest.mark.parametrize("change", ["tensors", "outputs"])
def test_golden_samples_of_another_shape_are_damage(exported: Exported, tmp_path: Path, change: str) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    golden = bundle.golden()
    other = {"tensors": random_batch(6, side=64), "outputs": golden.outputs[:, :4].copy()}[change]
    damaged = with_golden(bundle, replace(golden, **{change: other}), tmp_path / "damaged")  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="not the manifest's"):
        verify(damaged)


class Fixed(Session):
    """A session that gives what it was told to, to see what is made of it."""

    execution = Execution("none", "none")

    def __init__(self, output: NDArray[np.float32]) -> None:
        self.output = output
        self.seen: list[tuple[int, ...]] = []

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> dict[str, Array]:
        self.seen.append(batch.shape)
        return {"logits": self.output[: len(batch)]}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(exported: Exported, value: float) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    output = np.zeros((1, 10), np.float32)
    output[0, 3] = value
    with pytest.raises(EngineError, match="not finite"):
        engine_of(bundle, Fixed(output)).run_tensors(random_batch(2))


def test_an_output_of_another_shape_is_an_error(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    with pytest.raises(EngineError, match=r"\(1, 9\)"):
        engine_of(bundle, Fixed(np.zeros((1, 9), np.float32))).run_tensors(random_batch(3))


def test_a_fixed_batch_is_filled_up_and_the_filling_thrown_away(exported: Exported, reference: DMFormer) -> None:
    bundle = Bundle.load(exported("onnxruntime", batch=4))
    batch = random_batch(6)
    with open_engine(bundle) as engine:
        outputs = engine.run_tensors(batch).outputs
    np.testing.assert_allclose(outputs, infer(reference, batch), atol=1e-4)
    probe = Fixed(np.zeros((4, 10), np.float32))
    engine_of(bundle, probe).run_tensors(batch)
    assert probe.seen == [(4, 3, 32, 32)] * 2


def test_rows_of_unreadable_images_are_left_out_on_both_sides(
    exported: Exported, reference: DMFormer, tmp_path: Path
) -> None:
    from PIL import Image

    for index, image in enumerate(random_images(5)):
        (tmp_path / "images" / str(index)).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "images" / str(index) / "image.png")
    (tmp_path / "images" / "1" / "broken.png").write_bytes(b"\x89PNG broken")
    bundle, dataset = Bundle.load(exported("onnxruntime")), open_dataset(tmp_path / "images")
    outputs = outputs_on(dataset, reference, bundle, tmp_path)
    assert len(outputs.indices) == len(outputs.images) == 5 < len(dataset)
    proof = verify(bundle, outputs)
    assert proof.passed, proof.failures
    assert proof.comparisons[1].images == 5


def test_without_images_of_the_model_s_kind_nothing_is_said_of_its_accuracy(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported("onnxruntime")
    assert Bundle.load(path).golden().strange and "top1" not in (path / "manifest.json").read_text()
    code, out, err = invoke(capsys, "verify", path, "--json")
    record = json.loads(out)
    assert (code, record["figures"], record["data"]) == (0, {}, "golden samples, pictures of another kind")
    assert record["notes"] == ["top-1 is not measured: give labelled images with --data"]
    assert "6 images of golden samples, pictures of another kind" in err and record["notes"][0] in err


@pytest.mark.parametrize("room", [0, 1, 4, 5, 12])
def test_what_is_kept_of_pytorch_s_outputs_are_the_first_ones(
    exported: Exported, reference: DMFormer, labelled: Path, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last, smaller batch that would fit into the file must not take the place of one that did not."""
    bundle, dataset = Bundle.load(exported("onnxruntime")), open_dataset(labelled).select(range(9))
    whole = outputs_on(dataset, reference, bundle, tmp_path).read(0, 9)
    monkeypatch.setattr("dmformer.pipeline.reference.REFERENCE_BATCH", 4)
    monkeypatch.setattr("dmformer.pipeline.reference.KEPT_BYTES", room * whole[0].nbytes)
    part = outputs_on(dataset, reference, bundle, tmp_path)
    # Of the first batch nobody knows the size before.
    assert part.kept == {0: 4, 1: 4, 4: 4, 5: 4, 12: 9}[room]
    assert len(part.indices) == 9
    for row in range(9):
        np.testing.assert_allclose(part.read(row, 1), whole[row : row + 1], atol=1e-5)
