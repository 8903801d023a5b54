"""Fixtures of every room. Tests never see the user's own cache, build folder or temporary files."""

from __future__ import annotations

import functools
import os
import pydoc
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before torch is first imported: children inherit it, and on networks this small a second thread only waits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.precision import Precision
from tests.conversions import CONVERSIONS, read_operators_once, remembered
from tests.support import CLASSES, KINDS, SEGMENTER, TINY, Command, invoke, random_images
from tests.warm import warm_processes

Exported = Callable[..., Path]
Segmented = Callable[..., Path]
"""From target, argmax and precision to a bundle."""


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a cache of the session's own; a working directory and a folder for temporary files of the test's."""
    own = tmp_path_factory.mktemp("isolated")
    for name in ("tmp", "work"):
        (own / name).mkdir()
    # Libraries leave things there: torch a cache, ONNX Runtime the id that its telemetry knows this machine by.
    elsewhere = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("HOME", str(elsewhere / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(elsewhere / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(elsewhere / "torch"))
    monkeypatch.setenv("TMPDIR", str(own / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(own / "work")


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _conversions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports take the graph of a network that was converted before, be it by another worker: `tests.conversions`."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dmformer.graph.onnx_model.onnx_from_torch", remembered(shared / "conversions"))
        patch.setenv(CONVERSIONS, str(shared / "conversions"))
        read_operators_once(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports build and try their engines in one process after the other, not each in two fresh ones: `tests.warm`."""
    with warm_processes(tmp_path_factory.mktemp("warm")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_onnxruntime_thread() -> Iterator[dict[str, Any]]:
    """Where the number is left to ONNX Runtime: threads that wait for more work keep the cores of other workers busy.

    A session of the tiny network is made and run in a third of the time. Gives what was there before.
    """
    modules = ("calibration.observe", "graph.onnx_model", "runtimes.onnx_runtime")
    chosen = {name: pydoc.locate(name) for name in (f"dmformer.{module}.threads_per_stream" for module in modules)}
    with pytest.MonkeyPatch.context() as patch:
        for name in chosen:
            patch.setattr(name, lambda threads, streams=1: threads or 1)
        yield chosen


@pytest.fixture
def chosen_threads(_one_onnxruntime_thread: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are chosen as they are for a user."""
    for name, choose in _one_onnxruntime_thread.items():
        monkeypatch.setattr(name, choose)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tiny random network for 32x32 images, with labels. Not to be changed: copy it."""
    checkpoint = random_checkpoint(TINY, size=32, name="mini")
    path = tmp_path_factory.mktemp("weights") / "mini.safetensors"
    save_checkpoint(replace(checkpoint, labels=tuple(f"class {index}" for index in range(CLASSES))), path)
    return path


@pytest.fixture(scope="session")
def checkpoint(weights: Path) -> Checkpoint:
    return load_checkpoint(weights)


@pytest.fixture(scope="session")
def reference(checkpoint: Checkpoint) -> DMFormer:
    return checkpoint.build()


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve random images with labels, as an npz."""
    path = tmp_path_factory.mktemp("data") / "labelled.npz"
    np.savez(path, images=random_images(12), labels=np.arange(12) % CLASSES)
    return path


@pytest.fixture(scope="session")
def segmenter_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tiny random segmenter for 64x64 inputs, with labels. Not to be changed: copy it."""
    checkpoint = random_checkpoint(SEGMENTER, size=64, name="scenes")
    path = tmp_path_factory.mktemp("weights") / "scenes.safetensors"
    save_checkpoint(replace(checkpoint, labels=KINDS), path)
    return path


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight random images of 48x60 with masks of five classes and ignored pixels (255), as an npz."""
    random, path = np.random.default_rng(5), tmp_path_factory.mktemp("data") / "masked.npz"
    masks = random.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (8, 48, 60))
    np.savez(path, images=random.integers(0, 256, (8, 48, 60, 3), np.uint8), masks=masks)
    return path


@pytest.fixture(scope="session")
def segmented(segmenter_weights: Path, masked: Path, tmp_path_factory: pytest.TempPathFactory) -> Segmented:
    """Gives the segmenter's bundle of a target, made once in a session. Not to be changed."""

    @functools.cache
    def make(target: str = "onnxruntime", argmax: bool = False, precision: Precision = "fp32") -> Path:
        options = ExportOptions(
            targets=(target,), precision=precision, argmax=argmax, data=masked, golden_images=3,
            output=tmp_path_factory.mktemp("bundles"),
        )  # fmt: skip
        outcome = export_bundles(segmenter_weights, options)[0]
        assert outcome.proof.passed, outcome.proof.failures
        return outcome.bundle.path

    return make


@pytest.fixture(scope="session")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Gives the bundle of a target, made once in a session. Not to be changed: see `copied`."""

    @functools.cache
    def make(
        target: str, precision: Precision = "fp32", batch: int = 1, dynamic: bool = False, pixels: bool = False
    ) -> Path:
        options = ExportOptions(
            targets=(target,),
            precision=precision,
            batch=batch,
            dynamic=dynamic,
            golden_images=6,
            embed_preprocessing=pixels,
            output=tmp_path_factory.mktemp("bundles"),
        )
        outcome = export_bundles(weights, options)[0]
        assert outcome.proof.passed, outcome.proof.failures
        return outcome.bundle.path

    return make


@pytest.fixture
def copied(exported: Exported, tmp_path: Path) -> Path:
    """A copy of an ONNX Runtime bundle, to be damaged."""
    path = tmp_path / "bundle"
    shutil.copytree(exported("onnxruntime"), path)
    return path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line that must succeed; what it prints on both streams."""

    def call(*arguments: str | Path) -> tuple[str, str]:
        code, out, err = invoke(capsys, *arguments)
        assert code == 0, err
        return out, err

    return call


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of a size in KiB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root can mount a small file system; the limit of a file's size stands for it above")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)
