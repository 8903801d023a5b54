"""Wrong input: one clear line, exit code 2, and nothing changed on disk."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.support import edit_manifest, invoke, one_line, random_images, world

Exported = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
Make = Callable[[Path, Path], object]
"""Makes something wrong at the second path; the first is good weights."""


def wrong(capsys: Capture, folder: Path, *arguments: str | Path) -> str:
    """The line of a command that must fail by exit code 2 and leave everything as it was."""
    before = world(folder)
    code, out, err = invoke(capsys, *arguments)
    assert code == 2, (code, err)
    assert out == ""
    assert world(folder) == before
    return one_line(err)


def truncated(good: Path, path: Path) -> None:
    path.write_bytes(good.read_bytes()[:-1000])


def with_nan(good: Path, path: Path) -> None:
    tensors = load_file(good)
    tensors["head.bias"][3] = float("nan")
    with safe_open(good, "pt") as file:
        save_file(tensors, path, file.metadata())


def without_a_tensor(good: Path, path: Path) -> None:
    tensors = load_file(good)
    del tensors["head.bias"]
    with safe_open(good, "pt") as file:
        save_file(tensors, path, file.metadata())


class Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


BAD_WEIGHTS: dict[str, tuple[str, Make, str]] = {
    "missing": ("none.safetensors", lambda good, path: None, "none.safetensors"),
    "a folder": ("folder.pt", lambda good, path: path.mkdir(), "folder.pt"),
    "empty": ("empty.safetensors", lambda good, path: path.touch(), "empty.safetensors"),
    "empty torch": ("empty.pt", lambda good, path: path.touch(), "empty.pt"),
    "truncated": ("cut.safetensors", truncated, "cut.safetensors"),
    "random": ("r.safetensors", lambda good, path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "r.safe"),
    "random torch": ("r.pth", lambda good, path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "r.pth"),
    "pickled": ("p.pt", lambda good, path: path.write_bytes(pickle.dumps(Attack())), "p.pt"),
    "pickled by torch": ("q.pt", lambda good, path: torch.save({"model": Attack()}, path), "q.pt"),
    "another network": ("o.pt", lambda good, path: torch.save(torch.nn.Linear(3, 4).state_dict(), path), "o.pt"),
    "not finite": ("nan.safetensors", with_nan, "head.bias"),
    "incomplete": ("less.safetensors", without_a_tensor, "head.bias"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights(case: str, weights: Path, tmp_path: Path, capsys: Capture) -> None:
    name, make, words = BAD_WEIGHTS[case]
    make(weights, tmp_path / name)
    for command in ("export", "inspect"):
        assert words in wrong(capsys, tmp_path, command, tmp_path / name)
    assert not Path("attacked").exists(), "nothing from a file is executed"


def pictures(folder: Path, *classes: str) -> Path:
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        Image.fromarray(random_images(1, seed=index)[0]).save(folder / name / "image.png")
    return folder


def unreadable(folder: Path) -> Path:
    for path in pictures(folder, *"0123456789").rglob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    return folder


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def npz(path: Path, labels: np.ndarray) -> Path:
    np.savez(path, images=random_images(len(labels)), labels=labels)
    return path


BAD_DATA: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere", "no such file or folder"),
    "an empty folder": (lambda folder: made(folder / "empty"), "empty"),
    "empty classes": (lambda folder: made(folder / "classes" / "0").parent, "classes"),
    "unreadable images": (lambda folder: unreadable(folder / "images"), "cannot be read"),
    "classes that the labels do not name": (lambda folder: pictures(folder / "i", "cat", "dog"), "class"),
    "too many classes": (lambda folder: npz(folder / "d.npz", np.arange(11)), "do not match the labels"),
    "not images": (lambda folder: folder / "text.txt", "not a set of images"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data(case: str, weights: Path, exported: Exported, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "text.txt").write_text("hello")
    make, words = BAD_DATA[case]
    data = make(tmp_path)
    assert words in wrong(capsys, tmp_path, "export", weights, "--data", data)
    assert words in wrong(capsys, tmp_path, "verify", exported("onnxruntime"), "--data", data)


def change_a_byte(bundle: Path) -> None:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(content)


BAD_BUNDLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one byte changed": (change_a_byte, "model.onnx: differs"),
    "a file missing": (lambda path: (path / "golden.npz").unlink(), "golden.npz: is missing"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "no manifest.json"),
    "a path with ..": (
        lambda path: edit_manifest(path, lambda m: m["files"].update({"../x": m["files"]["model.onnx"]})),
        "leaves the bundle",
    ),
    "a newer schema": (lambda path: edit_manifest(path, lambda m: m.update(schema="dmformer.bundle/3")), "bundle/3"),
    "another target": (lambda path: edit_manifest(path, lambda m: m.update(target="[/x]")), "no target '[/x]'"),
}


@pytest.mark.parametrize("case", BAD_BUNDLES)
def test_bundles(case: str, copied: Path, tmp_path: Path, capsys: Capture) -> None:
    damage, words = BAD_BUNDLES[case]
    damage(copied)
    Image.fromarray(random_images(1)[0]).save(tmp_path / "image.png")
    assert words in wrong(capsys, tmp_path, "verify", copied)
    assert words in wrong(capsys, tmp_path, "predict", copied, tmp_path / "image.png")
    if case != "another target":
        assert words in wrong(capsys, tmp_path, "inspect", copied)


def test_markup_in_a_manifest_is_text(copied: Path, capsys: Capture) -> None:
    edit_manifest(copied, lambda m: m.update(name="[/bold] nothing"))
    code, _, err = invoke(capsys, "inspect", copied)
    assert code == 0
    assert "[/bold] nothing" in err


OPTIONS: list[tuple[list[str], str]] = [
    (["--imgsz", "100"], "100x100 is not divisible by 32"),
    (["--imgsz", "0"], "0"),
    (["--imgsz", "-32"], "-32"),
    (["--imgsz", "32", "--imgsz", "32", "--imgsz", "32"], "3 sides"),
    (["--imgsz", "64,x"], "'64,x' is no list of numbers"),
    (["--target", "onnx,tpu"], "no target 'tpu'"),
    (["--batch", "0"], "cannot be 0 (1 or more)"),
    (["--min-agreement", "nan"], "cannot be nan (0 to 1)"),
    (["--opset", "11"], "opset 11"),
    (["--batch", "99999"], "99999"),
    (["--target", "tpu"], "no target 'tpu'"),
    (["--device", "npu"], "'npu'"),
    (["--half", "--fp32"], "exclude each other"),
    (["--random-weights"], "go together"),
    (["--preset", "tiny", "--random-weights"], "excludes a weights file"),
    (["--max-error", "0"], "max_abs_error"),
    (["--max-error", "nan"], "max_abs_error"),
    (["--min-sqnr", "nan"], "min_sqnr_db"),
    (["--dilation", "1"], "dilation"),
    (["--labels", "nowhere.txt"], "nowhere.txt"),
]


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=[" ".join(options) for options, _ in OPTIONS])
def test_options(options: list[str], words: str, weights: Path, tmp_path: Path, capsys: Capture) -> None:
    assert words in wrong(capsys, tmp_path, "export", weights, *options)


def test_labels_that_are_not_as_many_as_the_classes(weights: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    line = wrong(capsys, tmp_path, "export", weights, "--labels", tmp_path / "labels.txt")
    assert "2 labels for 10 classes" in line


@pytest.mark.parametrize(
    "arguments", [["export", "--batch", "x"], ["export", "--nonsense"], ["predict"], ["verify"], ["nonsense"]]
)
def test_words_that_are_no_options(arguments: list[str], tmp_path: Path, capsys: Capture) -> None:
    before = world(tmp_path)
    code, out, err = invoke(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert world(tmp_path) == before


def test_images_that_cannot_be_predicted(exported: Exported, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    for name in ("broken.png", "nowhere.png", "."):
        line = wrong(capsys, tmp_path, "predict", exported("onnxruntime"), tmp_path / name)
        assert str(tmp_path / name) in line


@pytest.mark.parametrize("content", [b"", b"no onnx", None])
def test_onnx_files_that_are_none(content: bytes | None, tmp_path: Path, capsys: Capture) -> None:
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    assert "model.onnx" in wrong(capsys, tmp_path, "inspect", tmp_path / "model.onnx")


def test_output_that_exists_needs_force_and_force_replaces_bundles_only(
    exported: Exported, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    place = tmp_path / "out" / "mini-onnxruntime-fp32"
    shutil.copytree(exported("onnxruntime"), place)
    arguments = ("export", weights, "-o", tmp_path / "out", "--opset", "21")
    assert "exists already" in wrong(capsys, tmp_path, *arguments)
    (place / "manifest.json").write_text(json.dumps({"name": "a web application"}))
    assert "no bundle" in wrong(capsys, tmp_path, *arguments, "--force")


def test_output_that_cannot_be_written(weights: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("precious")
    assert "is a file" in wrong(capsys, tmp_path, "export", weights, "-o", tmp_path / "file")
    assert "is a file" in wrong(capsys, tmp_path, "export", weights, "-o", tmp_path / "file" / "below")
    assert "too long" in wrong(capsys, tmp_path, "export", weights, "-o", tmp_path / ("x" * 300))
    assert "/proc/x" in wrong(capsys, tmp_path, "export", weights, "-o", "/proc/x")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; /proc stands for it above")
def test_output_without_permission(weights: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "no permission" in wrong(capsys, tmp_path, "export", weights, "-o", tmp_path / "locked")


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        *(
            (("export", *option), "--int8")
            for option in (
                ("--calibration", "photos"),
                ("--images", "256"),
                ("--method", "mse"),
                ("--cpu-isa", "avx2"),
                ("--ranges", "r.json"),
                ("--plan", "p.json"),
                ("--allow-random-calibration",),
                ("--no-cache",),
            )
        ),
        (("verify", "bundle", "--reference", "other"), "--per-layer"),
        (("bench", "bundle", "--against", "none", "--weights", "best.pt"), "--against pytorch"),
        (("inspect", "bundle", "--picture", "p.svg"), "--sensitivity"),
        (("inspect", "--target", "openvino"), "--sensitivity"),
        (("inspect", "--max-images", "3"), "--sensitivity"),
        (("inspect", "--images", "3"), "--sensitivity"),
    ],
)
def test_an_option_that_nothing_would_read_is_refused(
    words: tuple[str, ...], needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = invoke(capsys, *words)
    assert code == 2
    assert f"does nothing without {needed}" in one_line(err)
