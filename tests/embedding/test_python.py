"""``dmformer embed --lang python``: it runs without dmformer, answers like it, and names the stage that differs."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

from dmformer import Classifier, assets
from dmformer.bundle import Bundle
from dmformer.data.dataset import subset
from dmformer.data.open import open_dataset
from dmformer.embedding.languages import variant_of
from dmformer.embedding.project import embed
from dmformer.embedding.python import parameters, requirements
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.preprocessing import Preprocessing, preprocess
from tests.embedding.documents import examples_of, run_page
from tests.support import PATIENCE, ROOT, TARGETS, random_images, with_fields

Exported = Callable[..., Path]

ALONE = """
import sys, runpy

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dmformer", "torch", "onnx", "pydantic"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A script of a project in a fresh process where dmformer cannot be imported."""
    command = [sys.executable, "-c", ALONE, *map(str, arguments)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=PATIENCE, check=False)


def made(bundle: Path, folder: Path) -> Path:
    return embed(Bundle.load(bundle), "python", folder / "project").path


def change(project: Path, name: str, value: str) -> None:
    path = project / "parameters.py"
    text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", path.read_text(), flags=re.M)
    assert count == 1
    path.write_text(text)


@pytest.fixture(scope="module")
def coloured(weights: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose golden samples have colours: grey ones are the same in RGB and BGR."""
    options = ExportOptions(golden_images=6, data=labelled, output=tmp_path_factory.mktemp("coloured"))
    return export_bundles(weights, options)[0].bundle.path


@pytest.mark.parametrize("target", (*TARGETS, "ncnn"))
def test_the_self_test_passes_in_a_process_without_dmformer(exported: Exported, target: str, tmp_path: Path) -> None:
    done = alone(made(exported(target), tmp_path), "self_test.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "preprocessing: equal to PyTorch on 6 images",
        "engine: equal to PyTorch on 6 images",
        "self-test passed",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEAN", "(0.5, 0.5, 0.5)"),
        ("STD", "(0.3, 0.3, 0.3)"),
        ("CHANNEL_ORDER", "'bgr'"),
        ("INTERPOLATION", "'nearest'"),
    ],
)
def test_wrong_preprocessing_is_named_as_that(coloured: Path, tmp_path: Path, name: str, value: str) -> None:
    project = made(coloured, tmp_path)
    change(project, name, value)
    done = alone(project, "self_test.py")
    assert done.returncode == 1, done.stderr
    *_, engine, last = done.stdout.splitlines()
    assert engine == "engine: equal to PyTorch on 6 images", "the engine gets the golden tensors, whatever is made here"
    assert last == "self-test failed: preprocessing differs"


def test_another_engine_is_named_as_that(exported: Exported, tmp_path: Path) -> None:
    project = made(exported("onnxruntime"), tmp_path)
    engine = project / "engine.py"
    engine.write_text(engine.read_text().replace("{INPUT: batch}", "{INPUT: batch * np.float32(1.01)}"))
    done = alone(project, "self_test.py")
    assert done.returncode == 1, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first == "preprocessing: equal to PyTorch on 6 images"
    assert second.startswith("engine: a logit differs by")
    assert last == "self-test failed: engine differs"


@pytest.mark.parametrize(("batch", "dynamic"), [(1, False), (4, False), (1, True)])
def test_it_classifies_as_dmformer_does(exported: Exported, tmp_path: Path, batch: int, dynamic: bool) -> None:
    bundle = exported("onnxruntime", batch=batch, dynamic=dynamic)
    project = made(bundle, tmp_path)
    paths = [tmp_path / name for name in ("odd.png", "photo.jpg", "grey.png", "deep.png", "turned.jpg")]
    first, second = random_images(1, 37)[0], random_images(1, 64)[0]
    Image.fromarray(first).save(paths[0])
    Image.fromarray(second).save(paths[1], quality=90)
    Image.fromarray(first[:, :, 0]).save(paths[2])
    Image.fromarray(first[:, :, 0].astype(np.uint16) * 200).save(paths[3])
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(second[:40]).save(paths[4], exif=turned)
    done = alone(project, "classify.py", *paths, "--top", "1")
    assert done.returncode == 0, done.stderr
    with Classifier(bundle) as classifier:
        expected = [best[0] for best in classifier.predict(paths, top_k=1)]
    lines = [line.split("  ")[-1] for line in done.stdout.splitlines()[1::2]]
    assert lines == [guess.label for guess in expected]


def test_top_1_is_dmformer_s_on_the_embedded_test_set(tmp_path: Path) -> None:
    options = ExportOptions(golden_images=8, max_images=100, output=tmp_path)
    bundle = export_bundles(None, options)[0].bundle
    project = made(bundle.path, tmp_path)
    dataset = subset(open_dataset(assets.test_images()), 300)
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(len(dataset)):
        Image.fromarray(dataset.load(index).image).save(folder / f"{index:04d}.png")
    paths = sorted(folder.iterdir())
    done = alone(project, "classify.py", *paths, "--top", "1")
    assert done.returncode == 0, done.stderr
    with Classifier(bundle, threads=1) as classifier:
        expected = [best[0].label for best in classifier.predict(paths, top_k=1)]
    assert [line.split("  ")[-1] for line in done.stdout.splitlines()[1::2]] == expected
    assert len(set(expected)) == 10


@pytest.mark.parametrize("target", TARGETS)
def test_an_engine_that_takes_pixels(exported: Exported, tmp_path: Path, target: str) -> None:
    project = made(exported(target, pixels=True), tmp_path)
    done = alone(project, "self_test.py")
    assert done.returncode == 0, done.stdout + done.stderr
    photos = [tmp_path / f"{side}.png" for side in (20, 37)]
    for path, side in zip(photos, (20, 37), strict=True):
        Image.fromarray(random_images(1, side)[0]).save(path)
    with Classifier(exported(target)) as classifier:
        expected = [best[0].label for best in classifier.predict(photos, top_k=1)]
    done = alone(project, "classify.py", *photos, "--top", "1")
    assert [line.split("  ")[-1] for line in done.stdout.splitlines()[1::2]] == expected


def test_pixels_in_another_order_are_named_as_preprocessing(weights: Path, labelled: Path, tmp_path: Path) -> None:
    options = ExportOptions(golden_images=6, data=labelled, output=tmp_path, embed_preprocessing=True)
    project = made(export_bundles(weights, options)[0].bundle.path, tmp_path)
    change(project, "CHANNEL_ORDER", "'bgr'")
    done = alone(project, "self_test.py")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "self-test failed: preprocessing differs"


PREPROCESS_ALL = """
import numpy as np
from preprocessing import preprocess
with np.load("images.npz") as given:
    np.savez("tensors.npz", *[preprocess(given[name]) for name in given])
"""
SPECS = [
    Preprocessing(size=(32, 32)),
    Preprocessing(size=(24, 40), resize="letterbox", interpolation="bicubic", fill=7),
    Preprocessing(size=(40, 24), resize="exact", interpolation="lanczos", channel_order="bgr"),
    Preprocessing(size=(28, 28), resize="shorter", resize_to=28, mean=(0.3,), std=(0.4,), channel_order="grey"),
    Preprocessing(size=(16, 16), interpolation="nearest", mean=(0.0, 0.1, 0.2), std=(1.0, 0.5, 0.25)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.resize}-{spec.channel_order}-{spec.interpolation}")
def test_its_preprocessing_is_dmformer_s_to_the_last_bit(
    exported: Exported, tmp_path: Path, spec: Preprocessing
) -> None:
    project = made(exported("onnxruntime"), tmp_path)
    manifest = Bundle.load(exported("onnxruntime")).manifest.model_copy(update={"preprocessing": spec})
    (project / "parameters.py").write_text(parameters(Bundle(project, manifest)))
    sides = [(31, 57, 3), (57, 31, 1), (40, 40, 4), (200, 90, 3), (5, 3, 3)]
    images = [np.random.default_rng(h).integers(0, 256, (h, w, c), dtype=np.uint8) for h, w, c in sides]
    np.savez(project / "images.npz", *images)
    (project / "all.py").write_text(PREPROCESS_ALL)
    done = alone(project, "all.py")
    assert done.returncode == 0, done.stderr
    with np.load(project / "tensors.npz") as found:
        for name, image in zip(found, images, strict=True):
            assert np.array_equal(found[name], preprocess(image, spec))


def test_what_is_no_image_is_an_error_in_one_line(exported: Exported, tmp_path: Path) -> None:
    project = made(exported("onnxruntime"), tmp_path)
    (tmp_path / "text.png").write_text("no image")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    Image.fromarray(random_images(1)[0]).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    for name, words in (
        ("text.png", "cannot identify image file"),
        ("large.png", "10000x10000 pixels are more than the limit"),
        ("cut.png", "cut.png: "),
        ("nowhere.png", "No such file"),
    ):
        done = alone(project, "classify.py", tmp_path / name)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_nothing_in_a_manifest_becomes_code_or_an_option_of_pip(exported: Exported) -> None:
    labels = ['"""\nimport os\n', "'); print('x')", "\\", "ä\u2028", *map(str, range(6))]
    whole = Bundle.load(exported("onnxruntime"))
    runtime = whole.manifest.runtime.model_copy(update={"version": "1.0 --index-url http://evil"})
    bundle = with_fields(whole, labels=tuple(labels), runtime=runtime)
    names: dict[str, object] = {}
    exec(parameters(bundle), names)
    assert names["LABELS"] == tuple(labels)
    assert requirements(bundle, "onnxruntime").splitlines()[-1] == "onnxruntime>=1.22"


@pytest.mark.parametrize("target", TARGETS)
def test_its_requirements_are_met_by_the_version_proven_and_by_the_last_for_an_older_python(
    exported: Exported, target: str
) -> None:
    bundle = Bundle.load(exported(target))
    names = [Requirement(line) for line in requirements(bundle, variant_of(target)).splitlines()]
    assert [one.name for one in names] == ["numpy", "pillow", variant_of(target)]
    assert all(one.marker is None for one in names)
    built = bundle.manifest.runtime.version
    # What an index has for Python 3.10, as on a Jetson with JetPack 6.
    last = {"onnxruntime": "1.23.2", "openvino": built, "numpy": "2.2.6", "pillow": "12.0.0"}
    assert all(one.specifier.contains(last[one.name]) for one in names)
    assert names[-1].specifier.contains(built)
    assert not names[-1].specifier.contains(f"{int(built.split('.')[0]) + 1}.0")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page asks its service with curl, which is not installed")
def test_every_command_and_example_of_the_page_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "embed-python.md").read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    # Port 8000 may be in use where the tests run.
    page.write_text(text.replace("8000", str(free_port())))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = run_page(page, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "self-test passed" in done.stdout
    (example,) = examples_of(page)
    ran = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 4
