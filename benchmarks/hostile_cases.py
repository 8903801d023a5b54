"""The hostile inputs of `benchmarks.hostile`: each a command line, and the damaged files that it reads."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**70, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "nan", "../../x",
    "/etc/passwd", "a\x1b]0;owned\x07b", "a\nb\n# c", "\ud800", "x" * 100_000, "`id`", "$(id)", "<script>", [], {},
    [[]],
    ["a"] * 1000, {"a": {"b": {}}}, [0], [-1, -1], [2**24] * 4, "CACHE_DIR", "dmformer.bundle/99", "[red]",
)  # fmt: skip


@dataclass(frozen=True)
class Material:
    """Good files, from which each case takes copies.

    Attributes:
        folder: Holds ``bundle`` (ONNX Runtime), ``openvino``, ``weights.safetensors``, ``weights.pt``, ``data.npz``,
            ``data.npy``, ``image.png``, ``image.jpg``, ``image.tif``, ``bench.json`` and ``ranges.json``.
    """

    folder: Path

    def copy(self, name: str, place: Path) -> Path:
        """A copy that the case may spoil."""
        source, target = self.folder / name, place / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
        return target


Case = Callable[[random.Random, Material, Path], list[str]]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The bytes with a few flipped, a piece removed, doubled, or all of it cut short."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        at = draw.choice((draw.randrange(len(data)), draw.randrange(min(len(data), 512))))
        data[at] = draw.choice((0, 255, data[at] ^ (1 << draw.randrange(8)), draw.randrange(256)))
    begin, length = draw.randrange(len(data)), draw.randrange(1, 4096)
    how = draw.randrange(5)
    if how == 0:
        del data[begin : begin + length]
    elif how == 1:
        data[begin:begin] = data[begin : begin + length]
    elif how == 2:
        del data[begin:]
    return bytes(data)


def extreme(document: Any, draw: random.Random) -> Any:
    """A JSON document with one value, anywhere in it, replaced, removed or of an unknown name."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    node, key = draw.choice(places)
    how = draw.randrange(10)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, dict):
        node["unknown\x1b[31m"] = node[key]
    elif isinstance(node[key], int | float) and how < 6:
        node[key] = draw.choice((-node[key], node[key] * 10**9, node[key] + 0.5, 0, 2**24, 2**31 - 1))
    else:
        node[key] = draw.choice(EXTREMES)
    return document


def change_json(path: Path, draw: random.Random) -> None:
    """Replaces a value, or damages the text."""
    if draw.random() < 0.8:
        path.write_text(json.dumps(extreme(json.loads(path.read_text()), draw)), encoding="utf-8")
    else:
        path.write_bytes(draw.choice((mutated(path.read_bytes(), draw), b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe{")))


def refit(bundle: Path, name: str) -> None:
    """Makes the manifest's size and hash of a file true again."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    content = (bundle / name).read_bytes()
    manifest["files"][name].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def on_bundle(draw: random.Random, material: Material, place: Path, bundle: Path) -> list[str]:
    """One of the commands that open a bundle."""
    image = str(material.folder / "image.png")
    return draw.choice(
        [
            ["verify", str(bundle)],
            ["predict", str(bundle), image],
            ["inspect", str(bundle)],
            ["embed", str(bundle), "--lang", draw.choice(("python", "cpp", "web")), "-o", str(place / "out")],
        ]
    )


def manifest(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Values of the manifest."""
    bundle = material.copy(draw.choice(("bundle", "openvino")), place)
    change_json(bundle / "manifest.json", draw)
    return on_bundle(draw, material, place, bundle)


def bundle_files(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Engine and golden samples, with a manifest that fits them."""
    bundle = material.copy(draw.choice(("bundle", "openvino")), place)
    name = draw.choice([path.name for path in sorted(bundle.iterdir()) if path.name != "manifest.json"])
    (bundle / name).write_bytes(mutated((bundle / name).read_bytes(), draw))
    refit(bundle, name)
    return on_bundle(draw, material, place, bundle)


def weights(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Weights of both formats, mostly in their headers."""
    path = material.copy(draw.choice(("weights.safetensors", "weights.pt")), place)
    path.write_bytes(mutated(path.read_bytes(), draw))
    return ["inspect", str(path)]


def dataset(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Arrays of images."""
    path = material.copy(draw.choice(("data.npz", "data.npy")), place)
    path.write_bytes(mutated(path.read_bytes(), draw))
    return ["verify", str(material.folder / "bundle"), "--data", str(path), "--max-images", "4"]


def picture(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Image files."""
    path = material.copy(draw.choice(("image.png", "image.jpg", "image.tif")), place)
    path.write_bytes(mutated(path.read_bytes(), draw))
    return ["predict", str(material.folder / "bundle"), str(path)]


def measurement(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Documents of bench."""
    path = material.copy("bench.json", place)
    change_json(path, draw)
    if draw.random() < 0.3:
        return ["compare", str(path), str(material.folder / "bench.json")]
    return ["report", str(place / "out.html"), str(path), "--markdown", "--csv"]


def ranges(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Ranges and plans, which export reads before it works."""
    path = material.copy("ranges.json", place)
    path.write_bytes(draw.choice((mutated(path.read_bytes(), draw), b"{}", b"null", b"[" * 100_000)))
    option = draw.choice(("--ranges", "--plan"))
    base, data = str(material.folder / "weights.safetensors"), str(material.folder / "data.npz")
    return [
        "export", base, "--int8", option, str(path), "--calibration", data, "--images", "12", "-o", str(place / "o"),
    ]  # fmt: skip


def folder(draw: random.Random, material: Material, place: Path) -> list[str]:
    """Folders of images with odd names, links and foreign files."""
    data = place / "data"
    names = [
        "0",
        "10",
        "__MACOSX",
        ".hidden",
        "e\u0301",
        "é",
        "a\nb",
        "a\x1b[31m",
        "[red]",
        "$(id)",
        "x" * 200,
        "train",
    ]
    for name in draw.sample(names, draw.randrange(1, 6)):
        inside = data / name
        inside.mkdir(parents=True)
        shutil.copyfile(material.folder / "image.png", inside / draw.choice(("a.png", "b.PNG", "c.txt", "d\n.jpg")))
        if draw.random() < 0.3:
            (inside / "loop").symlink_to(data)
        if draw.random() < 0.2:
            os.mkfifo(inside / "pipe.png")
    return ["verify", str(material.folder / "bundle"), "--data", str(data)]


def odd_file(draw: random.Random, material: Material, place: Path) -> list[str]:
    """What is no regular file, or none at all, where a file is read."""
    pipe = place / "pipe.json"
    os.mkfifo(pipe)
    path = draw.choice(
        (str(pipe), "/dev/zero", "/dev/urandom", "", ".", "/", str(place), "missing", "\udcff", "x" * 300)
    )
    base = str(material.folder / "weights.safetensors")
    bundle = str(material.folder / "bundle")
    return draw.choice(
        [
            ["inspect", path], ["verify", path], ["predict", bundle, path], ["compare", path, path],
            ["report", str(place / "out.html"), path],
            ["export", base, "--int8", "--plan", path, "-o", str(place / "o")],
            ["export", base, "--int8", "--ranges", path, "-o", str(place / "o")], ["verify", bundle, "--data", path],
            ["export", path, "-o", str(place / "o")], ["embed", path, "-o", str(place / "o")],
            ["export", base, "--labels", path, "-o", str(place / "o")],
        ]
    )  # fmt: skip


KINDS: dict[Case, int] = {
    manifest: 30, bundle_files: 20, weights: 12, dataset: 12, picture: 12, measurement: 16, ranges: 4, folder: 6,
    odd_file: 8,
}  # fmt: skip
