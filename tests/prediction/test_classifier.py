"""`dmformer.Classifier`: any kind of image, any number, from any number of threads, with or without enough sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import dmformer
from dmformer import Classifier
from dmformer.errors import BundleError, BusyError, DataError, DmformerError, UsageError
from dmformer.model.config import ModelConfig
from dmformer.model.network import DMFormer
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.reference import infer
from dmformer.preprocessing import preprocess_batch
from dmformer.tasks.classification import LinearHead, softmax
from tests.support import TARGETS, random_images, run

Exported = Callable[..., Path]


@pytest.fixture
def classifier(exported: Exported) -> Any:
    with Classifier(exported("onnxruntime"), threads=1) as opened:
        yield opened


def as_png(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_softmax_by_hand() -> None:
    np.testing.assert_allclose(softmax(np.log(np.array([[1, 2, 5]], np.float32))), [[0.125, 0.25, 0.625]], rtol=1e-6)
    assert np.isfinite(softmax(np.array([[1e30, -1e30]], np.float32))).all()


@pytest.mark.parametrize("target", TARGETS)
def test_the_answers_are_pytorch_s_largest_logits_with_their_labels(
    exported: Exported, reference: DMFormer, target: str
) -> None:
    images = [random_images(1, side)[0] for side in (30, 50)]
    with Classifier(exported(target)) as classifier:
        found = classifier.predict(images, top_k=3)
        everything = classifier.predict(images[0], top_k=99)[0]
    logits = infer(reference, preprocess_batch(images, classifier.bundle.manifest.preprocessing))
    for row, best in zip(logits, found, strict=True):
        assert [guess.index for guess in best] == np.argsort(-row)[:3].tolist()
        assert [guess.label for guess in best] == [f"class {guess.index}" for guess in best]
        assert [guess.probability for guess in best] == pytest.approx(sorted(softmax(row), reverse=True)[:3], abs=1e-5)
    assert len(everything) == classifier.classes == 10
    assert sum(guess.probability for guess in everything) == pytest.approx(1)


def test_every_kind_of_image_gives_the_same_answer_alone_and_mixed(classifier: Classifier, tmp_path: Path) -> None:
    image = random_images(1)[0]
    path = tmp_path / "image.png"
    path.write_bytes(as_png(image))
    content = path.read_bytes()
    kinds: list[Any] = [
        path, str(path), content, bytearray(content), memoryview(content), Image.fromarray(image), image, image[None],
        np.dstack([image, image[:, :, 0]]),
    ]  # fmt: skip
    expected = classifier.predict(image)
    assert all(classifier.predict(kind) == expected for kind in kinds)
    mixed = [kind for kind in kinds if not isinstance(kind, np.ndarray) or kind.ndim == 3]
    assert classifier.predict(mixed) == expected * len(mixed)
    assert classifier.predict(iter(mixed)) == expected * len(mixed), "a lazy sequence too"


def test_a_grey_array_is_one_image_for_models_of_three_channels_and_of_one(
    classifier: Classifier, tmp_path: Path
) -> None:
    grey = random_images(1)[0][:, :, 0]
    expected = classifier.predict(np.dstack([grey] * 3))
    assert classifier.predict(grey) == classifier.predict(grey[:, :, None]) == expected
    config = ModelConfig(
        widths=(8, 8, 16, 16),
        depths=(1, 1, 1, 1),
        ffn_ratios=(2, 2, 2, 2),
        stem_width=4,
        head=LinearHead(classes=10),
        in_channels=1,
    )
    from dmformer.model.random_weights import random_checkpoint

    options = ExportOptions(golden_images=1, output=tmp_path)
    path = export_bundles(random_checkpoint(config, size=32), options)[0].bundle.path
    with Classifier(path) as of_grey:
        assert of_grey.bundle.manifest.preprocessing.channels == 1
        assert of_grey.predict(grey) == of_grey.predict(np.dstack([grey] * 3)) == of_grey.predict(as_png(grey))
        assert len(of_grey.predict(random_images(3))) == 3


@pytest.mark.parametrize(("batch", "dynamic"), [(1, False), (4, False), (1, True)])
def test_batches_of_any_size_are_split_and_filled_up(exported: Exported, batch: int, dynamic: bool) -> None:
    images = random_images(35)
    with Classifier(exported("onnxruntime", batch=batch, dynamic=dynamic), threads=1) as classifier:
        together = classifier.predict(images, top_k=1)
        alone = [classifier.predict(image, top_k=1)[0] for image in images]
    assert len(together) == 35
    assert [best[0].index for best in together] == [best[0].index for best in alone]
    for one, other in zip(together, alone, strict=True):
        assert one[0].probability == pytest.approx(other[0].probability, abs=1e-5)


def big_png() -> bytes:
    file = BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no image was given"),
        (np.zeros((0, 32, 32, 3), np.uint8), "no image was given"),
        (7, "type int is no image"),
        ([np.zeros((8, 8, 3), np.uint8), None], "image 1: an object of type NoneType is no image"),
        ("nowhere.png", "nowhere.png: no such file"),
        (b"not an image", "image 0: the given image bytes: cannot be read"),
        (as_png(random_images(1)[0])[:200], "image 0: the given image bytes: cannot be decoded"),
        (big_png(), "10000x10000 pixels are more than the limit"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"shape \(8, 8, 5\)"),
        (np.zeros((8, 8, 3), np.float32), "dtype float32, not uint8"),
        (np.zeros((1, 1, 8, 8, 3), np.uint8), "image 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_refused_and_the_classifier_lives_on(
    classifier: Classifier, images: Any, words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        classifier.predict(images)
    assert caught.value.hint
    assert classifier.predict(random_images(1))


def test_the_limit_of_pixels_can_be_lowered(exported: Exported) -> None:
    with Classifier(exported("onnxruntime"), max_pixels=40 * 40) as classifier:
        assert classifier.predict(random_images(1, 40))
        for image in (random_images(1, 41)[0], as_png(random_images(1, 41)[0])):
            with pytest.raises(DataError, match="41x41 pixels are more than the limit of 1600"):
                classifier.predict(image)


def test_wrong_arguments(exported: Exported, classifier: Classifier) -> None:
    with pytest.raises(UsageError, match="top_k 0"):
        classifier.predict(random_images(1), top_k=0)
    for count in (0, 1000):
        with pytest.raises(UsageError, match=f"{count} sessions"):
            Classifier(exported("onnxruntime"), sessions=count)
    with pytest.raises(UsageError, match="'npu'"):
        Classifier(exported("openvino"), device="npu")
    with pytest.raises(BundleError, match="no such directory"):
        Classifier("nowhere")


def test_a_closed_classifier_says_so_and_may_be_closed_again(exported: Exported) -> None:
    with Classifier(exported("onnxruntime")) as classifier:
        pass
    classifier.close()
    with pytest.raises(UsageError, match="closed") as caught:
        classifier.predict(random_images(1))
    assert caught.value.hint


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("sessions", [1, 3])
def test_many_threads_get_their_own_right_answers(exported: Exported, target: str, sessions: int) -> None:
    images = random_images(120)
    with Classifier(exported(target), sessions=sessions, threads=1) as classifier:
        expected = [classifier.predict(image)[0] for image in images]
        with ThreadPoolExecutor(12) as threads:
            found = list(threads.map(lambda image: classifier.predict(image)[0], images))
    assert [[guess.index for guess in best] for best in found] == [[guess.index for guess in best] for best in expected]


def test_who_finds_no_session_in_time_is_told_and_the_session_is_not_lost(exported: Exported) -> None:
    with Classifier(exported("onnxruntime"), timeout=0.05) as classifier:
        with classifier._pool.lend(None), pytest.raises(BusyError, match=r"all 1 sessions were in use for 0\.05 s"):
            classifier.predict(random_images(1))
        assert classifier.predict(random_images(1))


def test_a_session_comes_back_after_a_failure(exported: Exported) -> None:
    with Classifier(exported("onnxruntime"), timeout=0) as classifier:
        with pytest.raises(ZeroDivisionError), classifier._pool.lend(0):
            raise ZeroDivisionError
        assert classifier.predict(random_images(1))


def test_closing_wakes_those_who_wait_and_lets_those_who_work_finish(exported: Exported) -> None:
    classifier = Classifier(exported("onnxruntime"), timeout=None)
    told: list[DmformerError] = []

    def wait() -> None:
        try:
            classifier.predict(random_images(1))
        except UsageError as error:
            told.append(error)

    batch = np.zeros((1, 3, 32, 32), np.float32)
    waiting = threading.Thread(target=wait)
    with classifier._pool.lend(None) as engine:
        waiting.start()
        while not classifier._pool._changed._waiters:  # type: ignore[attr-defined]
            time.sleep(0.001)
        classifier.close()
        waiting.join()
        assert len(engine.run(batch).outputs) == 1, "in use: not closed yet"
    assert told
    assert "closed" in told[0].message


def test_no_session_stays_open_where_one_of_several_cannot_be_opened(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmformer.runtimes import pool
    from dmformer.runtimes.engine import Engine, open_engine

    opened: list[Engine] = []

    def open_two(*arguments: Any) -> Engine:
        if len(opened) == 2:
            raise UsageError("no more memory")
        opened.append(open_engine(*arguments))
        return opened[-1]

    monkeypatch.setattr(pool, "open_engine", open_two)
    with pytest.raises(UsageError, match="no more memory"):
        Classifier(exported("onnxruntime"), sessions=3)
    assert all("_session" not in vars(engine.session) for engine in opened)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["onnx"] = None
import dmformer
with dmformer.Classifier(sys.argv[1]) as classifier:
    print(classifier.predict(sys.argv[2], top_k=1)[0][0].label)
"""


def test_it_needs_no_torch(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(as_png(random_images(1)[0]))
    done = run(exported("onnxruntime"), path, code=WITHOUT_TORCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("class ")


def test_the_public_name_is_bound_lazily() -> None:
    done = run(code="import dmformer, sys; assert 'numpy' not in sys.modules; print(dmformer.Classifier.__name__)")
    assert done.stdout == "Classifier\n", done.stderr
    assert "Classifier" in dir(dmformer)
