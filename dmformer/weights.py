"""Which files hold a model's weights: one, or shards under an index, in a folder as trainers leave it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dmformer.bundle import sha256_of
from dmformer.errors import CheckpointError
from dmformer.reading import read_json
from dmformer.texts import listed, one_line

MAX_FILE_BYTES = 8 * 2**30
MAX_INDEX_BYTES, MOST_SHARDS, MOST_ENTRIES = 16 * 2**20, 256, 10_000
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ".pt.tar")
INDEX = ".index.json"
HUB = "hf://"
USUAL = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "mp_rank_00_model_states.pt",
)
"""How transformers, accelerate and DeepSpeed call the weights, the best first."""
OTHERS = (
    "optimizer",
    "scheduler",
    "scaler",
    "random_states",
    "training_args",
    "rng_state",
    "sampler",
    "custom_checkpoint",
)
"""What they call the rest of training's state."""


def is_on_hub(path: str | Path) -> bool:
    """Whether a path is an address of the hub, also as pathlib reads it; see `dmformer.model.hub`."""
    text = path.as_posix() if isinstance(path, Path) else path
    return text.startswith(HUB.replace("//", "/"))


def has_suffix(path: Path) -> bool:
    """Whether a file is called as weights are."""
    return path.name.lower().endswith(SUFFIXES)


def name_of(path: Path) -> str:
    """What weights are called after: their file without its suffix, or the folder."""
    suffix = next((end for end in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(end)), "")
    return path.name.removesuffix(INDEX)[: -len(suffix) or None] if not path.is_dir() else path.resolve().name


def file_of(path: Path) -> Path:
    """The file of weights that a path means: itself, or of a folder the one in it.

    Raises:
        CheckpointError: A folder that holds none, several, or parts that must be put together first.
    """
    if not path.is_dir():
        _refuse_parts(path, [path.name])
        return path
    names = sorted(_names_in(path))
    _refuse_parts(path, names)
    if usual := next((name for name in USUAL if name in names), None):
        return path / usual
    found = [name for name in names if has_suffix(Path(name)) and not name.startswith(OTHERS)]
    if len(found) == 1:
        return path / found[0]
    if found:
        raise CheckpointError(f"{path}: holds several files of weights: {listed(found)}", "Name one of them.")
    raise CheckpointError(
        f"{path}: holds neither weights nor a bundle (no manifest.json)", f"Known suffixes: {', '.join(SUFFIXES)}."
    )


def _names_in(folder: Path) -> Iterator[str]:
    """Names of a folder's files, and below it of DeepSpeed's and PyTorch's parts."""
    try:
        for index, entry in enumerate(folder.iterdir()):
            if index >= MOST_ENTRIES:
                raise CheckpointError(f"{folder}: more than {MOST_ENTRIES} files", "Name the file of the weights.")
            yield entry.name
            if entry.is_dir() and not entry.is_symlink():
                yield from (f"{entry.name}/{inner.name}" for _, inner in zip(range(100), entry.iterdir(), strict=False))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from error


def _refuse_parts(folder: Path, names: list[str]) -> None:
    """Refuses what several processes wrote a part of each, with the command that puts it together."""
    if any("zero_pp_rank_" in name for name in names):
        raise CheckpointError(
            f"{folder}: ZeRO shards of DeepSpeed, which are no whole weights",
            "Consolidate them in the folder where DeepSpeed put its script: python zero_to_fp32.py . consolidated",
        )
    if any(name.endswith(".distcp") for name in names):
        raise CheckpointError(
            f"{folder}: shards of PyTorch's distributed checkpoint, which are no whole weights",
            "Consolidate them: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pt",
        )


def shards_of(index: Path) -> Mapping[Path, tuple[str, ...]]:
    """The files that an index names, each with the tensors to take from it.

    Raises:
        CheckpointError: It cannot be read, is none, or names files elsewhere.
    """
    hint = "Give the folder as it was saved, or the weights in one file."
    try:
        document = read_json(index, MAX_INDEX_BYTES)
    except OSError as error:
        raise CheckpointError(f"{index}: cannot be read ({error.strerror})", hint) from error
    except ValueError as error:
        raise CheckpointError(f"{index}: is no JSON", hint) from error
    shards: dict[str, list[str]] = {}
    for name, shard in _weight_map(document, index, hint).items():
        shards.setdefault(shard, []).append(name)
    if unsafe := [shard for shard in shards if Path(shard).name != shard or not has_suffix(Path(shard))]:
        raise CheckpointError(f"{index}: names {one_line(unsafe[0], 160)}, which is no weights in its folder", hint)
    if not 0 < len(shards) <= MOST_SHARDS:
        raise CheckpointError(f"{index}: names {len(shards)} files of weights", hint)
    return {index.parent / shard: tuple(names) for shard, names in sorted(shards.items())}


def _weight_map(document: Any, index: Path, hint: str) -> dict[str, str]:
    found = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(shard, str) for shard in found.values()):
        raise CheckpointError(f"{index}: is no index of shards (it has no weight_map)", hint)
    return found


def digest_of_weights(path: Path) -> str:
    """SHA-256 (hex) of a file of weights, of shards that of all their names and digests.

    Raises:
        CheckpointError: There are none, or they cannot be read.
    """
    return LateDigest.of(file_of(path)).value


@dataclass(frozen=True)
class LateDigest:
    """SHA-256 of a file of weights, computed when it is asked for: reading the file takes hardly longer than that.

    Attributes:
        file: Of weights, or the index of shards.
        parts: The file itself, or the shards.
        state: What the system says of the parts since they were read; other files have no digest here.
    """

    file: Path
    parts: tuple[Path, ...]
    state: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, file: Path) -> LateDigest:
        """The digest of a file as it is now."""
        parts = tuple(shards_of(file)) if file.name.endswith(INDEX) else (file,)
        return cls(file, parts, _state(parts))

    @cached_property
    def value(self) -> str:
        """In hex; of shards that of all their names and digests.

        Raises:
            CheckpointError: They cannot be read, or have changed.
        """
        try:
            digests = [sha256_of(part) for part in self.parts]
        except OSError as error:
            raise CheckpointError(f"{self.file}: cannot be read ({error.strerror})", "Check the path.") from error
        if _state(self.parts) != self.state:
            raise CheckpointError(f"{self.file}: has changed since it was read", "Load it again.")
        if self.parts == (self.file,):
            return digests[0]
        text = "\n".join(f"{part.name} {digest}" for part, digest in zip(self.parts, digests, strict=True))
        return hashlib.sha256(text.encode()).hexdigest()


def _state(files: Iterable[Path]) -> tuple[tuple[int, int, int], ...]:
    """What changes when a file does; of none where there is none, which reading it tells."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)
