"""Weights from files that nobody vouches for, read without unpickling into containers, numbers and tensors."""

from __future__ import annotations

import argparse
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.texts import one_line
from dmformer.weights import INDEX, MAX_FILE_BYTES, SUFFIXES, has_suffix, shards_of

NAME = 160
"""Characters of a foreign name or message."""

_ZIP_START = b"PK\x03\x04"
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE_START = b"\x80"
AT_ONCE = 100
"""Tensors of a safetensors file between two openings."""
INERT: list[Any] = [argparse.Namespace]
"""What trainers (timm, torchvision) keep their options in: a class that does nothing when it is made."""


def read_content(path: Path) -> tuple[Any, Mapping[str, str]]:
    """What a file, or a set of shards under their index, holds.

    Args:
        path: ``.safetensors``, a torch file, or the index of shards.

    Returns:
        Tensors by name, or whatever a torch file holds; and the metadata of a safetensors header.

    Raises:
        CheckpointError: No readable file, an unknown suffix, too large, damaged, or in need of unpickling.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path)
    _check_file(path)
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    return _plain(_read_torch(path)), {}


def _read_shards(index: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """The tensors of all shards, each from the one that the index names."""
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for shard, names in shards_of(index).items():
        content, said = read_content(shard)
        missing = [name for name in names if not isinstance(content, Mapping) or name not in content]
        if missing:
            raise _damaged(index, f"{one_line(missing[0], NAME)} is not in {shard.name}, where the index has it")
        tensors |= {name: content[name] for name in names}
        metadata |= said
    return tensors, metadata


def _plain(content: Any) -> Any:
    """The same with namespaces of options as mappings."""
    if not isinstance(content, dict):
        return content
    return {key: vars(value) if isinstance(value, argparse.Namespace) else value for key, value in content.items()}


def _check_file(path: Path) -> None:
    if not has_suffix(path):
        raise CheckpointError(f"{path}: unknown kind of checkpoint", f"Known suffixes: {', '.join(SUFFIXES)}.")
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file", "Check the path to the weights.")
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if size == 0:
        raise CheckpointError(f"{path}: the file is empty", "Copy it again from where it was trained.")
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: {size / 2**30:.1f} GiB is more than a DMFormer can have (8 GiB)")


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path}: {what}", "Copy it again from where it was trained, or save it again.")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
        tensors: dict[str, Tensor] = {}
        for begin in range(0, len(names), AT_ONCE):
            # What is read is copied, so that nothing stays mapped to the file; opened anew, so that it is not all there
            # twice. safetensors 0.8 never frees two integers (56 bytes) of each tensor that it reads.
            with safe_open(path, framework="pt", device="cpu") as file:
                tensors |= {name: file.get_tensor(name).clone() for name in names[begin : begin + AT_ONCE]}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or one_line(str(error), NAME)})") from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise _damaged(path, f"not a whole safetensors file ({one_line(str(error), NAME)})") from error
    return tensors, metadata


def _read_torch(path: Path) -> Any:
    """The content of a torch file, made of nothing but containers, numbers and tensors."""
    try:
        _check_signature(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise _damaged(path, "damaged or truncated") from error
    try:
        with warnings.catch_warnings():
            # Old files make torch warn about its own internals.
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(INERT):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Also a damaged pickle inside a whole zip ends here; torch tells them apart only in prose.
        if "Unsupported operand" not in str(error) and ("Unsupported" in str(error) or "GLOBAL" in str(error)):
            raise _needs_unpickling(path) from error
        raise _damaged(path, "damaged, or not written by torch.save") from error
    except Exception as error:  # torch's readers raise anything on hostile bytes, from KeyError to RuntimeError
        if "TorchScript" in str(error):
            raise _needs_unpickling(path) from error
        raise _damaged(path, f"damaged or truncated ({type(error).__name__}: {one_line(str(error), NAME)})") from error


def _check_signature(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_START))
    if start.startswith(_ZIP_START):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_FILE_BYTES:
            raise CheckpointError(f"{path}: unpacks to {unpacked / 2**30:.1f} GiB, more than a DMFormer can have")
    elif not start.startswith(_LEGACY_START):
        if start.startswith(_PICKLE_START):
            raise _needs_unpickling(path)
        raise _damaged(path, "not a file of torch.save")


def _needs_unpickling(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: holds Python objects, and loading them could run any code; only tensors are read",
        # A fixed name, not the file's: nobody should paste a command that a stranger's file name is part of.
        "Where you trust the file, save its weights alone, then load those: "
        # Everything keeps its place, modules as their tensors, so that the choice stays the loader's.
        'python -c "import torch; s = lambda v: v if isinstance(v, torch.Tensor) else s(v.state_dict()) '
        "if isinstance(v, torch.nn.Module) else {k: s(v[k]) for k in v if isinstance(k, str)} "
        "if isinstance(v, dict) else None; "
        "torch.save(s(torch.load('checkpoint.pt', weights_only=False, map_location='cpu')), 'weights.pt')\"",
    )
