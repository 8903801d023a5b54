"""Golden samples: real images, their preprocessed tensors and the reference's answers, in one ``golden.npz``.

With them a device that has neither torch nor the weights can check its preprocessing and its engine
against PyTorch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.data.npz import Archive, ArchiveError, opened
from dmformer.errors import BundleError
from dmformer.texts import brief

GOLDEN_FILE = "golden.npz"
MAX_GOLDEN_BYTES = 1 << 30
_MAX_SAMPLES = 1 << 15
_OUTPUTS, _LABELS, _IMAGE, _TARGET = "logits", "labels", "image_", "target_"
_ARRAYS = ("tensors", _OUTPUTS, _LABELS, "names")
_MANIFEST, _STRANGE = "manifest", "of_another_kind"


@dataclass(frozen=True)
class Golden:
    """A few dozen images with everything an engine must reproduce.

    Attributes:
        images: The decoded images, uint8 HWC RGB; their sizes may differ.
        tensors: The preprocessed batch, float32 ``[N, C, H, W]``.
        outputs: The FP32 PyTorch outputs, float32 ``[N, ...]``.
        targets: What is right for each: the index of a class, an array where every place has one, or None.
        names: Where each image came from.
        strange: Whether they are no images of the model's kind: nobody gave such.
    """

    images: tuple[NDArray[np.uint8], ...]
    tensors: NDArray[np.float32]
    outputs: NDArray[np.float32]
    targets: tuple[int | NDArray[np.integer] | None, ...]
    names: tuple[str, ...]
    strange: bool = False

    @property
    def title(self) -> str:
        """What the images are."""
        return "golden samples, pictures of another kind" if self.strange else "golden samples"

    def __repr__(self) -> str:
        shapes = {"tensors": self.tensors.shape, "outputs": self.outputs.shape}
        return brief("Golden", {"images": len(self.images), **shapes})

    def save(self, path: Path, manifest: str | None = None) -> None:
        """Writes the samples as an npz whose bytes depend on nothing but the samples and the manifest's digest."""
        arrays: dict[str, NDArray[np.generic]] = {
            "tensors": self.tensors,
            _OUTPUTS: self.outputs,
            _LABELS: self._labels,
            "names": np.array(self.names),
        }
        arrays.update({f"{_IMAGE}{index:03d}": image for index, image in enumerate(self.images)})
        arrays.update({f"{_TARGET}{index:03d}": target for index, target in self._places.items()})
        if manifest is not None:
            arrays[_MANIFEST] = np.array([manifest])
        if self.strange:
            arrays[_STRANGE] = np.array([True])
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Reads what `save` wrote.

        Raises:
            BundleError: The file is not such an npz, is larger than a gibibyte, or its arrays do not fit together.
        """
        try:
            with opened(path, _MAX_SAMPLES) as archive:
                _check(archive)
                images, places = (_keys(archive, prefix) for prefix in (_IMAGE, _TARGET))
                arrays = {key: archive.read(key, MAX_GOLDEN_BYTES) for key in (*_ARRAYS, *images, *places)}
                golden = cls(
                    images=tuple(arrays[key] for key in images),
                    tensors=arrays["tensors"],
                    outputs=arrays[_OUTPUTS],
                    targets=_targets(arrays),
                    names=tuple(str(name) for name in arrays["names"].reshape(-1)),
                    strange=_STRANGE in archive.headers,
                )
        except ArchiveError as error:
            raise BundleError(
                f"{path}: the golden samples cannot be read ({error})", "export the bundle again"
            ) from error
        golden.check(path)
        return golden

    @property
    def _labels(self) -> NDArray[np.int64]:
        """The targets that are one class; -1 for the others."""
        return np.array([target if isinstance(target, int) else -1 for target in self.targets], np.int64)

    @property
    def _places(self) -> dict[int, NDArray[np.integer]]:
        """The targets that are arrays, by the number of their image."""
        return {index: target for index, target in enumerate(self.targets) if isinstance(target, np.ndarray)}

    def digest(self) -> str:
        """SHA-256 of the samples, which is the same beside any manifest."""
        digest = hashlib.sha256(repr((self.names, self.strange) if self.strange else self.names).encode())
        arrays: tuple[NDArray[Any], ...] = (
            *self.images,
            self.tensors,
            self.outputs,
            self._labels,
            *self._places.values(),
        )
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def check(self, path: Path) -> None:
        """Raises `BundleError` where the arrays do not fit together."""
        count = len(self.images)
        problems = [
            "no sample" if count == 0 else "",
            "tensors are not float32 [N, C, H, W]"
            if self.tensors.dtype != np.float32 or self.tensors.ndim != 4
            else "",
            "logits are not float32 [N, ...]" if self.outputs.dtype != np.float32 or self.outputs.ndim < 2 else "",
            "images are not uint8 HWC" if any(i.dtype != np.uint8 or i.ndim != 3 for i in self.images) else "",
            "targets are no integers" if any(t.dtype.kind not in "iu" for t in self._places.values()) else "",
            "counts differ"
            if {len(self.tensors), len(self.outputs), len(self.targets), len(self.names)} != {count}
            else "",
        ]
        if not any(problems) and not (np.isfinite(self.tensors).all() and np.isfinite(self.outputs).all()):
            problems = ["tensors or logits are not finite"]
        problem = next(filter(None, problems), None)
        if problem:
            raise BundleError(f"{path}: the golden samples are damaged: {problem}", "export the bundle again")


def manifest_digest(path: Path) -> str | None:
    """The digest of the manifest that samples were written beside; None in older bundles.

    Raises:
        BundleError: The file is no npz.
    """
    try:
        with opened(path, _MAX_SAMPLES) as archive:
            return str(archive.read(_MANIFEST, 1 << 10)[0]) if _MANIFEST in archive.headers else None
    except ArchiveError as error:
        raise BundleError(f"{path}: the golden samples cannot be read ({error})", "export the bundle again") from error


def _check(archive: Archive) -> None:
    missing = [key for key in _ARRAYS if key not in archive.headers]
    flat = [key for key, header in archive.headers.items() if key != "names" and not header.shape]
    total = sum(header.nbytes for header in archive.headers.values())
    if missing:
        raise ArchiveError(f"{missing[0]} is missing")
    if flat:
        raise ArchiveError(f"{flat[0][:80]!r} is no array")
    if total > MAX_GOLDEN_BYTES:
        raise ArchiveError(f"{total} bytes unpacked are more than the {MAX_GOLDEN_BYTES} allowed")


def _keys(archive: Archive, prefix: str) -> list[str]:
    return sorted((key for key in archive.headers if key.startswith(prefix)), key=_number)


def _targets(arrays: Mapping[str, NDArray[Any]]) -> tuple[int | NDArray[np.integer] | None, ...]:
    labels = arrays[_LABELS]
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise ArchiveError("labels are not int64 [N]")
    known: list[int | NDArray[np.integer] | None] = [int(label) if label >= 0 else None for label in labels]
    for index in range(len(known)):
        known[index] = arrays.get(f"{_TARGET}{index:03d}", known[index])
    return tuple(known)


def _number(key: str) -> tuple[int, str]:
    # As text, image_1000 would come before image_101.
    return len(key), key
