"""Verifying a bundle with what is at hand on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.common_options import MaskOptions
from dmformer.errors import CheckpointError, DataError, DmformerError, UsageError
from dmformer.manifest import Tolerance
from dmformer.model.checkpoint import save_checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.verification import Evidence, masks_of, verify_bundle
from dmformer.progress import Silent, foretold
from dmformer.summary import summarize
from tests.support import TINY, edit_manifest, random_images, with_fields

Exported = Callable[..., Path]


def check(path: Path, **options: object) -> tuple[bool, list[int], float | None]:
    """Whether it passed, how many images each comparison had, and the agreement on the last."""
    proof = verify_bundle(Bundle.load(path), Evidence(**options), Silent())  # type: ignore[arg-type]
    return proof.passed, [comparison.images for comparison in proof.comparisons], proof.comparisons[-1].agreement


def test_golden_samples_alone(exported: Exported) -> None:
    assert check(exported("openvino")) == (True, [6], 1.0)


def test_labelled_images_without_and_with_the_weights(exported: Exported, weights: Path, labelled: Path) -> None:
    assert check(exported("onnxruntime"), data=labelled) == (True, [6, 12], None)
    assert check(exported("onnxruntime"), data=labelled, weights=weights) == (True, [6, 12], 1.0)
    assert check(exported("onnxruntime"), data=labelled, max_images=5, weights=weights) == (True, [6, 5], 1.0)


def test_a_tolerance_of_one_s_own(exported: Exported) -> None:
    assert not check(exported("onnxruntime"), tolerance=Tolerance(min_sqnr_db=500))[0]


def test_other_weights_are_refused(exported: Exported, tmp_path: Path, labelled: Path) -> None:
    save_checkpoint(random_checkpoint(TINY, seed=1, size=32), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"not what .* was made from"):
        check(exported("onnxruntime"), data=labelled, weights=tmp_path / "other.safetensors")


def test_weights_without_images_would_be_for_nothing(exported: Exported, weights: Path) -> None:
    with pytest.raises(UsageError, match="without images"):
        check(exported("onnxruntime"), weights=weights)


def test_masks_mean_what_the_bundle_was_exported_with(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    said = {"reduce-zero-label": True, "ignore-index": 7}
    made = with_fields(bundle, options=said)
    assert masks_of(bundle, MaskOptions()) == MaskOptions()
    assert masks_of(made, MaskOptions()) == MaskOptions(True, 7)
    assert masks_of(made, MaskOptions(ignore_index=9)) == MaskOptions(ignore_index=9), "what is asked for wins"
    assert masks_of(with_fields(bundle, options={"ignore-index": "7"}), MaskOptions()) == MaskOptions()


def test_a_classifier_asks_for_no_masks(exported: Exported, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=random_images(6), masks=np.zeros((6, 40, 40), np.uint8))
    with pytest.raises(DataError, match="its images have masks, and the model gives a class"):
        check(exported("onnxruntime"), data=tmp_path / "set.npz")


@pytest.mark.parametrize("labels", [None, np.arange(6) + 5, np.array([0, 1, 2, 3, 4, -7])])
def test_images_that_cannot_be_judged(exported: Exported, tmp_path: Path, labels: np.ndarray | None) -> None:
    arrays = {"images": random_images(6)} | ({} if labels is None else {"labels": labels})
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(DataError, match="label"):
        check(exported("onnxruntime"), data=tmp_path / "images.npz")


def test_nothing_in_a_bundle_is_changed_by_verifying_it(exported: Exported, tmp_path: Path, labelled: Path) -> None:
    from tests.support import snapshot

    shutil.copytree(exported("openvino"), tmp_path / "bundle")
    before = snapshot(tmp_path / "bundle")
    check(tmp_path / "bundle", data=labelled)
    with pytest.raises(DmformerError):
        check(tmp_path / "bundle", data=tmp_path / "nowhere")
    assert snapshot(tmp_path / "bundle") == before


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def test_the_number_of_images_is_said_first(exported: Exported, labelled: Path) -> None:
    notes = Notes()
    verify_bundle(Bundle.load(exported("onnxruntime")), Evidence(data=labelled, max_images=5), notes)
    assert notes.lines[0].startswith("verifying on 5 images of ")


def test_the_data_set_is_named_also_where_it_is_smaller_than_the_golden_samples(
    exported: Exported, labelled: Path
) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    record = summarize(bundle, verify_bundle(bundle, Evidence(data=labelled, max_images=5), Silent()))
    assert record["images"] == 5
    assert record["data"] != "golden samples"


@pytest.mark.parametrize(
    ("seconds", "total", "expected"),
    [
        (1.0, 10, []),
        (1.0, 100, ["x: about 100 s; --max-images takes fewer images"]),
        (60.0, 90, ["x: about 90 min; --max-images takes fewer images"]),
        (0.001, 1000, []),
    ],
)
def test_a_long_run_is_foretold_once_by_its_first_batches(seconds: float, total: int, expected: list[str]) -> None:
    notes, clock = Notes(), count(step=seconds)
    assert list(foretold(range(total), total, "x", notes, lambda: next(clock))) == list(range(total))
    assert notes.lines == expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda manifest: manifest["output"].update(name="nope"),
        lambda manifest: manifest["host"].update(gpu="Abacus 9000"),
        lambda manifest: (
            manifest["preprocessing"].update(size=[64, 64], resize_to=None),
            manifest["input"]["shape"].__setitem__(slice(2, 4), [64, 64]),
        ),
    ],
    ids=["another engine", "another machine", "other golden samples"],
)
def test_a_bundle_that_cannot_run_here_is_refused_before_the_images_are_looked_for(
    copied: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(copied, damage)
    with pytest.raises(DmformerError) as caught:
        check(copied, data=tmp_path / "missing")
    assert not isinstance(caught.value, DataError)
