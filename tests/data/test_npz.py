"""Damaged and hostile archives, as data sets and as golden samples: one line, nothing else, little memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.data.arrays import open_npz
from dmformer.errors import BundleError, DataError, DmformerError
from dmformer.golden import Golden

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), dtype=np.uint8)
GOLDEN = Golden(
    tuple(IMAGES),
    np.zeros((4, 3, 8, 8), np.float32),
    np.ones((4, 5), np.float32),
    (0, 1, 2, 3),
    ("one", "two", "three", "four"),
)
MEMORY = 16 << 20

HEADERS = [
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 6, 7, 3), }",
    b"  {'descr': '|u1',\n 'fortran_order': False,\n\t\n   'shape': (4, 6, 7, 3), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 6, 7, 3",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 6, 7, 3), 'x': '''",
    b"\n x = (\n  1",
    b"(" * 3000,
    b"[" * 2000 + b"]" * 2000,
    b"-" * 4000 + b"1",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (1180591620717411303424, 6, 7, 3)}",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0, 4294967296)}",
    b"{'descr': '<U0', 'fortran_order': False, 'shape': (999999999999999, 99999999999999)}",
    b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (9, 9)}",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (4,)}",
    b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}",
    b"{'descr': '<q9', 'fortran_order': True, 'shape': ()}",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (-4, 6, 7, 3)}",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"1, " * 40 + b")}",
    b"\0\xff\x1b[31m",
    b"",
]


def member(header: bytes, data: bytes, version: bytes = b"\1\0") -> bytes:
    length = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + header + data


def members(form: str) -> dict[str, bytes]:
    buffer = io.BytesIO()
    if form == "golden":
        GOLDEN.save(buffer)  # type: ignore[arg-type]
    else:
        np.savez(buffer, images=IMAGES, labels=np.arange(4))
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def mutated(contents: dict[str, bytes], generator: np.random.Generator) -> bytes:
    """One damage: in the bytes of the archive, or in a member whose checksum is right."""
    if generator.random() < 0.4:
        damaged = bytearray(packed(contents, int(generator.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))))
        for _ in range(int(generator.integers(1, 5))):
            damaged[int(generator.integers(0, len(damaged)))] = int(generator.integers(0, 256))
        return bytes(damaged[: int(generator.integers(0, len(damaged)))] if generator.random() < 0.3 else damaged)
    name = str(generator.choice(list(contents)))
    content = bytearray(contents[name])
    if generator.random() < 0.3:
        content = bytearray(member(HEADERS[int(generator.integers(0, len(HEADERS)))], bytes(content[128:])))
    else:
        for _ in range(int(generator.integers(1, 4))):
            content[int(generator.integers(0, min(130, len(content))))] = int(
                generator.choice(list(b"'\"(){}[]\\ ,0L\0\n-u"))
            )
    return packed(contents | {name: bytes(content)})


READERS: dict[str, Callable[[Path], object]] = {"data": open_npz, "golden": Golden.load}


@pytest.mark.parametrize("form", READERS)
def test_damage_is_one_line(tmp_path: Path, form: str) -> None:
    generator, contents, path = np.random.default_rng(0), members(form), tmp_path / "a.npz"
    refused = 0
    for _ in range(1100):
        path.write_bytes(mutated(contents, generator))
        try:
            READERS[form](path)
        except (DataError, BundleError) as error:
            refused += 1
            assert_one_line(error, path)
    assert refused > 500


def assert_one_line(error: DmformerError, path: Path) -> None:
    assert error.message.startswith(str(path))
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert error.hint


def hostile() -> Iterator[bytes]:
    data = members("data")
    for header in HEADERS[2:]:
        for version in (b"\1\0", b"\2\0", b"\3\0", b"\x09\0"):
            yield packed(data | {"images.npy": member(header, b"", version)})
    yield packed(data | {"images.npy": b"\x93NUMPY\2\0\xff\xff\xff\xff{"})
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield packed(data, method)
        yield packed(data, method).replace(b"\x5d\0\0", b"\xff\xff\xff")
    whole = bytearray(packed(data))
    whole[-10:-6] = b"\xff\xff\xff\x7f"  # the size of the archive's directory
    yield bytes(whole)
    yield packed({f"{number}.npy": data["labels.npy"] for number in range(70)})
    yield b"PK\5\6" + bytes(18)


def test_hostile_headers_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    tracemalloc.start()
    try:
        for content in hostile():
            path.write_bytes(content)
            for reader in READERS.values():
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                with pytest.raises((DataError, BundleError)) as caught:
                    reader(path)
                assert_one_line(caught.value, path)
                assert tracemalloc.get_traced_memory()[1] - before < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("array", [IMAGES, np.asfortranarray(IMAGES), IMAGES[:, ::-1]])
def test_arrays_come_back_as_they_were(tmp_path: Path, array: NDArray[Any]) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=array)
    found = open_npz(tmp_path / "a.npz").images
    assert np.array_equal(found, array)
    assert found.flags.writeable


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["tensors", "outputs"])
def test_golden_samples_are_finite(tmp_path: Path, name: str, value: float) -> None:
    array = getattr(GOLDEN, name).copy()
    array.flat[3] = value
    replace(GOLDEN, **{name: array}).save(tmp_path / "golden.npz")
    with pytest.raises(BundleError, match="not finite"):
        Golden.load(tmp_path / "golden.npz")


def test_more_than_a_thousand_golden_images_keep_their_order(tmp_path: Path) -> None:
    count = 1102
    images = tuple(np.full((1, 1, 3), (number // 256, number % 256, 0), np.uint8) for number in range(count))
    zeros = np.zeros((count, 1, 1, 1), np.float32)
    made = Golden(images, zeros, zeros[:, :, 0, 0], tuple(range(count)), tuple(map(str, range(count))))
    made.save(tmp_path / "golden.npz")
    assert np.array_equal(np.stack(Golden.load(tmp_path / "golden.npz").images), np.stack(images))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("X_test", "Y_TEST"), True),
        (("test_images", "test_labels"), True),
        (("data", "targets"), True),
        (("arr_0", "arr_1"), True),
        (("imgs", "label"), True),
        (("pictures", "species"), False),
    ],
)
def test_other_names_are_taken_or_said(tmp_path: Path, names: tuple[str, str], expected: bool) -> None:
    np.savez(tmp_path / "a.npz", **{names[0]: IMAGES, names[1]: np.arange(4)}, extra=np.zeros(3))  # type: ignore[arg-type]
    dataset = open_npz(tmp_path / "a.npz")
    assert np.array_equal(dataset.images, IMAGES)
    assert dataset.labelled is expected
    (note,) = dataset.notes
    assert "'extra' float64[3]" in note
    assert (f"'{names[1]}' int64[4]" in note) is not expected
