"""Weights files by the hundred, each spoilt in its structure: loaded, or refused in one bounded line; nothing runs."""

from __future__ import annotations

import io
import json
import pickletools
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import safetensors.torch
import torch

from dmformer.errors import CheckpointError
from dmformer.model.checkpoint import load_checkpoint
from dmformer.tasks.classification import LinearHead
from tests.model.small_models import small_checkpoint

LONGEST = 2000
MEMORY = 1 << 30
METADATA: list[Any] = [
    None, [], {"a": 1}, {"dmformer": "{"}, {"dmformer": "[" * 9000}, {"format": "x" * 10**6}, "x",
]  # fmt: skip
HEADERS = [b"", b"{}", b"[]", b"null", b"{" * 9000, b"\xff" * 99, b'{"a":' * 999, b" " * 99]
CALLS = [
    "os\nsystem", "posix\nsystem", "builtins\neval", "subprocess\ncheck_output", "torch\nload", "torch.hub\nload",
    "numpy\nload", "torch.utils.data\nDataLoader",
]  # fmt: skip
Mutation = tuple[str, bytes]

DTYPES = ["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "F32 ", "", 3, None, ["F32"]]
SHAPES: list[Any] = [
    [], [0], [-1], [2**31], [2**63], [2**64], [2**62, 2**62], [1] * 70, [1.5], ["3"], "3", None, {}, [True],
]  # fmt: skip
OFFSETS: list[Any] = [
    [0, 0], [0], [], [4, 0], [-4, 0], [0, 2**63], [2**63, 2**64], [0, 1e9], [0, 4, 8], None, "0,4", [[0], [4]],
]  # fmt: skip
LENGTHS = [0, 1, 7, 8, 2**31, 2**32, 2**63, 2**64 - 1, 100_000_001]
NAMES = [
    "",
    "\x1b[2J",
    "a" * 100_000,
    "../../etc/passwd",
    "head.bias\n",
    "\u202ehead",
    "module.head.bias",
    "__metadata__",
]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(
        small_checkpoint(widths=(4, 4, 4, 4), depths=(1, 1, 1, 1), stem_width=2, head=LinearHead(classes=3)).state
    )


def joined(header: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def of_safetensors(whole: bytes, random: Random) -> Iterator[Mutation]:
    """Headers that lie, each about one thing."""
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    for said in (*LENGTHS, length - 1, length + 1, len(whole), length // 2):
        yield f"length {said}", joined(whole[8 : 8 + length], data, said)
    for field, values in (("dtype", DTYPES), ("shape", SHAPES), ("data_offsets", OFFSETS)):
        for value in (*values, "absent"):
            for name in random.sample(names, 2):
                entry = {key: old for key, old in header[name].items() if key != field}
                entry |= {} if value == "absent" else {field: value}
                yield f"{field} {value}", joined(json.dumps(header | {name: entry}).encode(), data)
    yield from _of_names(header, data)
    yield from _of_contents(header, data, random)
    for _ in range(40):
        yield "cut", whole[: random.randrange(len(whole))]


def _of_names(header: dict[str, Any], data: bytes) -> Iterator[Mutation]:
    first, second = [name for name in header if name != "__metadata__"][:2]
    text = json.dumps(header)
    for name in NAMES:
        yield f"name {name[:20]}", joined(json.dumps(header | {name: header[first]}).encode(), data)
        renamed = {name if key == first else key: value for key, value in header.items()}
        yield f"renamed {name[:20]}", joined(json.dumps(renamed).encode(), data)
    yield "twice", joined((text[:-1] + f', "{first}": {json.dumps(header[first])}}}').encode(), data)
    yield "overlap", joined(json.dumps(header | {second: header[first]}).encode(), data)
    yield "a gap", joined(text.encode(), data + bytes(64))


def _of_contents(header: dict[str, Any], data: bytes, random: Random) -> Iterator[Mutation]:
    text = json.dumps(header)
    for metadata in METADATA:
        yield "metadata", joined(json.dumps(header | {"__metadata__": metadata}).encode(), data)
    for content in (*HEADERS, text.encode()[:-1]):
        yield "header", joined(content, data)
    for value in (float("nan"), float("inf"), -float("inf"), 3.4e38, -1.0):
        for name in random.sample([name for name in header if name != "__metadata__"], 3):
            begin = header[name]["data_offsets"][0]
            yield f"value {value}", joined(text.encode(), data[:begin] + struct.pack("<f", value) + data[begin + 4 :])


def of_torch(state: dict[str, torch.Tensor], random: Random, mark: Path) -> Iterator[Mutation]:
    """A zip of `torch.save` with parts taken away, repeated, cut or replaced, and pickles that would like to run."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    whole = buffer.getvalue()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(parts)).split("/")[0]
    pickled = f"{root}/data.pkl"
    for name in (pickled, *random.sample(list(parts), 8)):
        yield f"without {name}", zipped({key: value for key, value in parts.items() if key != name})
        for content in (b"", parts[name][: len(parts[name]) // 2], parts[name] + bytes(99), bytes(len(parts[name]))):
            yield f"other {name}", zipped(parts | {name: content})
    for name in (
        "../evil",
        "/evil",
        f"{root}/../evil",
        f"{root}/data/99999",
        "x" * 60_000,
        f"{root}/constants.pkl",
        f"{root}/code/a.py",
    ):
        yield f"more {name[:20]}", zipped(parts | {name: b"evil"})
    for other in ("", "a/b", "other"):
        yield f"root {other}", zipped({key.replace(root, other, 1): value for key, value in parts.items()})
    content = parts[pickled]
    argument = f"touch {mark}".encode()
    for call in CALLS:
        run = b"\x80\x02c" + call.encode() + b"\n(X" + struct.pack("<I", len(argument)) + argument + b"tR."
        yield f"runs {call}", zipped(parts | {pickled: run})
        yield f"runs {call} first", zipped(parts | {pickled: run[:-1] + b"0" + content[2:]})
    places = [position for _, _, position in pickletools.genops(content) if position is not None]
    for _ in range(90):
        spoilt = bytearray(content)
        # Opcodes, not their arguments: structure rather than names.
        spoilt[random.choice(places)] = random.choice(b"cRobiI(t)]}usa012hjpqQPB\x8a\x8b\x80\x81\x82\x88\x93NKMJGFVX.")
        yield "opcode", zipped(parts | {pickled: bytes(spoilt)})
    for _ in range(40):
        yield "cut", whole[: random.randrange(len(whole))]
    for claimed in (0, 1, 2**31, 2**62):
        # The number of values of the first storage.
        yield f"storage {claimed}", zipped(parts | {pickled: claiming(content, claimed)})
    yield "deep", zipped(parts | {pickled: b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000 + b"."})
    yield "a long string", zipped(parts | {pickled: b"\x80\x02X" + struct.pack("<I", 2**31) + b"a."})
    yield "a memo far out", zipped(parts | {pickled: b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"."})


def claiming(content: bytes, count: int) -> bytes:
    """A pickle whose first storage names another number of values."""
    ops = list(pickletools.genops(content))
    end = next(index for index, (op, _, _) in enumerate(ops) if op.name == "BINPERSID")
    at = max(index for index in range(end) if ops[index][0].name in ("BININT", "BININT1", "BININT2"))
    start, stop = ops[at][2], ops[at + 1][2]
    assert start is not None and stop is not None
    return content[:start] + b"\x8a\x08" + struct.pack("<q", count) + content[stop:]


def zipped(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_every_spoilt_file_loads_or_is_refused_in_one_line(
    suffix: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    random, mark = Random(0), tmp_path / "ran"
    mutations: Callable[[], Iterator[Mutation]] = {
        ".safetensors": lambda: of_safetensors(safetensors.torch.save(state), random),
        ".pt": lambda: of_torch(state, random, mark),
    }[suffix]
    count = refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index, (what, content) in enumerate(mutations()):
        path = tmp_path / f"{index}{suffix}"
        path.write_bytes(content)
        count += 1
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            refused += 1
            for text in (error.message, error.hint or ""):
                assert len(text) < LONGEST and text.isprintable(), (what, text[:300])
        path.unlink()
    assert not list(tmp_path.iterdir()), "nothing was executed, and nothing is left"
    assert count >= 150
    assert count > refused > count // 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY
