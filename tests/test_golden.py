"""Golden samples: what is saved is loaded, byte for byte the same, and damage is an error."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmformer.errors import BundleError
from dmformer.golden import Golden
from tests.support import random_batch, random_images


def golden(count: int = 3) -> Golden:
    images = tuple(random_images(1, side=5 + index)[0] for index in range(count))
    logits = np.random.default_rng(1).standard_normal((count, 4), dtype=np.float32)
    targets = (None, *range(count - 1))
    return Golden(images, random_batch(count), logits, targets, tuple(f"image {index}" for index in range(count)))


def member(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def rewrite(path: Path, **changes: bytes | None) -> None:
    """Writes an archive again with some members changed, or removed for None."""
    with zipfile.ZipFile(path) as archive:
        members: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    members.update({f"{name}.npy": content for name, content in changes.items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)


def test_round_trip_with_images_of_several_sizes(tmp_path: Path) -> None:
    made = golden(12)
    made.save(tmp_path / "golden.npz")
    loaded = Golden.load(tmp_path / "golden.npz")
    assert [image.shape for image in loaded.images] == [image.shape for image in made.images]
    assert all(np.array_equal(a, b) for a, b in zip(loaded.images, made.images, strict=True))
    assert np.array_equal(loaded.tensors, made.tensors)
    assert np.array_equal(loaded.outputs, made.outputs)
    assert loaded.targets == made.targets == (None, *range(11))
    assert loaded.names == made.names


def test_targets_of_every_place_are_kept_beside_classes_and_nothing(tmp_path: Path) -> None:
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5)
    made = replace(golden(), targets=(mask, None, 2))
    made.save(tmp_path / "golden.npz")
    loaded = Golden.load(tmp_path / "golden.npz")
    assert np.array_equal(loaded.targets[0], mask) and loaded.targets[1:] == (None, 2)  # type: ignore[arg-type]
    assert loaded.digest() == made.digest() != replace(made, targets=(mask[::-1], None, 2)).digest()


def test_the_bytes_depend_on_nothing_but_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden().save(tmp_path / "one.npz")
    monkeypatch.setattr("time.time", lambda: 2e9)
    golden().save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"images": ()}, "no sample"),
        ({"tensors": random_batch(2)}, "counts differ"),
        ({"tensors": random_batch(3).astype(np.float64)}, "tensors are not float32"),
        ({"outputs": np.zeros(3, np.float32)}, "logits are not float32"),
        ({"targets": (np.zeros((2, 2)), 1, 2)}, "targets are no integers"),
        ({"images": (np.zeros((4, 4), np.uint8),) * 3}, "images are not uint8 HWC"),
    ],
)
def test_arrays_that_do_not_fit_together(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    replace(golden(), **changes).save(tmp_path / "golden.npz")
    with pytest.raises(BundleError, match=what):
        Golden.load(tmp_path / "golden.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": None},
        {"tensors": b"no array at all"},
        {"logits": member(1.0)},
        {"names": member(np.array([{"a": 1}], dtype=object))},
        {"labels": pickle.dumps([1, 2, 3])},
        {"labels": member(np.zeros(3))},
        {"labels": member(np.zeros((3, 1), np.int64))},
        {"tensors": member(np.zeros(2, np.float32)).replace(b"(2,)", b"(9999999999999,)")},
    ],
)
def test_members_that_are_none_are_refused_and_nothing_is_unpickled(
    tmp_path: Path, changes: dict[str, bytes | None]
) -> None:
    golden().save(tmp_path / "golden.npz")
    rewrite(tmp_path / "golden.npz", **changes)
    with pytest.raises(BundleError, match="cannot be read"):
        Golden.load(tmp_path / "golden.npz")


def test_an_archive_that_would_unpack_to_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden().save(tmp_path / "golden.npz")
    monkeypatch.setattr("dmformer.golden.MAX_GOLDEN_BYTES", 1000)
    with pytest.raises(BundleError, match="more than the 1000 allowed"):
        Golden.load(tmp_path / "golden.npz")


@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), cut=st.booleans())
def test_no_damage_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, position: float, value: int, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    golden(1).save(path)
    content = bytearray(path.read_bytes())
    place = int(position * len(content))
    if cut:
        del content[place:]
    else:
        content[place] = value
    path.write_bytes(content)
    try:
        Golden.load(path)
    except BundleError as error:
        assert "golden samples" in error.message
