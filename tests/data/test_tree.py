"""Folder trees as people have them: every file is an image of a class, or counted and named in a note."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.data.folders import better_order, open_folder, open_images
from dmformer.data.images import EXTENSIONS
from dmformer.data.open import open_dataset, open_unlabelled
from dmformer.data.tree import read_tree
from dmformer.errors import DataError
from dmformer.tasks.classification import check_labels

IMAGE = b"BM"
NAMES = {
    "named": ["bird", "cat", "Dog", "fr\u00f6sche", "\u00e9t\u00e9", "zebra"],
    "numbered": ["0", "1", "002", "3", "10", "11"],
}


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(IMAGE)
    return root


def grow(root: Path, generator: np.random.Generator, names: list[str]) -> tuple[dict[str, str], int, int]:
    """A random tree; its images with the class of each, and how many other and hidden files there are."""
    images: dict[str, str] = {}
    others = hidden = 0
    for name in names:
        folder = unicodedata.normalize("NFD" if generator.random() < 0.5 else "NFC", name)
        put(root, f"{folder}/first.png", f"{folder}/deep/er/b.JPE")
        images |= {f"{folder}/first.png": name, f"{folder}/deep/er/b.JPE": name}
        for kind in generator.choice(["text", "heic", "hidden", "system", "link", "loop", "empty", "cut"], 4):
            if kind in {"text", "heic"} and not (root / folder / f"more.{kind}").exists():
                put(root, f"{folder}/more.{kind}")
                others += 1
            elif kind in {"hidden", "system"} and not (root / folder / kind).exists():
                put(root, f"{folder}/{kind}/x.jfif")
                (root / folder / "deep" / {"hidden": ".x", "system": "@eaDir"}[kind]).mkdir(exist_ok=True)
                put(root, f"{folder}/deep/{ {'hidden': '.x', 'system': '@eaDir'}[kind] }/y.png")
                images[f"{folder}/{kind}/x.jfif"] = name
                hidden += 1
            elif kind == "link" and not (root / folder / "linked").exists():
                outside = put(root.parent / f"{root.name}-outside", f"{folder}/elsewhere.webp")
                (root / folder / "linked").symlink_to(outside / folder)
                images[f"{folder}/linked/elsewhere.webp"] = name
            elif kind == "loop" and not (root / folder / "deep/loop").exists():
                (root / folder / "deep/loop").symlink_to(root)
            elif kind == "empty":
                (root / folder / "empty").mkdir(exist_ok=True)
            elif kind == "cut":
                (root / folder / "cut.png").unlink(missing_ok=True)
                (root / folder / "cut.png").symlink_to("nowhere")
                images[f"{folder}/cut.png"] = name
    put(root, "__MACOSX/cat/._a.png", "lost+found/b.png", "annotations/a.xml", "read me")
    return images, others + 2, hidden + 2


@pytest.mark.parametrize("kind", NAMES)
def test_every_file_is_an_image_of_a_class_or_counted(tmp_path: Path, kind: str) -> None:
    for seed in range(40):
        generator = np.random.default_rng(seed)
        root = tmp_path / str(seed)
        images, others, hidden = grow(root, generator, NAMES[kind])
        tree = read_tree(root)
        assert (tree.others.total(), tree.hidden.total()) == (others, hidden)
        index = (
            {name: int(name) for name in NAMES[kind]}
            if kind == "numbered"
            else {name: position for position, name in enumerate(sorted(NAMES[kind]))}
        )
        dataset = open_folder(root)
        found = dict(zip(dataset.files, dataset.file_labels or (), strict=True))
        assert found == {file: index[name] for file, name in images.items()}
        notes = "\n".join(dataset.notes)
        for word in ("__MACOSX", "lost+found", "annotations", ".xml", "no ending"):
            assert word in notes
        assert ("deep/loop" in notes) == bool(list(root.glob("*/deep/loop")))
        assert set(open_images(root).files) == set(images)


def test_splits_are_no_classes(tmp_path: Path) -> None:
    for splits in (
        ("train", "val"),
        ("Train", "Test", "annotations"),
        ("test", "train"),
        ("val",),
        ("training", "dev"),
        ("train2017", "val2017"),
        ("trainset", "testset"),
        ("images_train", "images_val"),
        ("Train Images ", "Valid-1"),
        ("split1-training", "split1-evaluation"),
    ):
        root = put(tmp_path / "".join(splits), *(f"{split}/{name}/1.png" for split in splits for name in "ab"))
        for labels in (None, ["a", "b"]):
            with pytest.raises(DataError, match="splits of a data set") as caught:
                open_folder(root, labels)
            assert caught.value.hint is not None
            given = Path(caught.value.hint.removeprefix("Give one of them: ")).name.casefold()
            assert re.search("val|test|dev", given)
        assert len(open_unlabelled(root)) == 2 * len(splits)
    assert open_folder(tmp_path / "trainval", ["train", "val"]).classes == ("train", "val")
    for classes in (("train", "bus"), ("test image", "product"), ("data", "image"), ("traintest", "settrain")):
        found = open_folder(put(tmp_path / "".join(classes), *(f"{name}/1.png" for name in classes))).classes
        assert found == tuple(sorted(classes))
    assert open_folder(put(tmp_path / "quality", "test/1.png", "product/1.png")).classes == ("product", "test")


def test_two_spellings_of_one_name_are_one_class(tmp_path: Path) -> None:
    spellings = [unicodedata.normalize(form, "\u00e9t\u00e9") for form in ("NFC", "NFD")]
    root = put(tmp_path, *(f"{name}/{number}.png" for number, name in enumerate(spellings)), "zoo/1.png", "f/1.png")
    assert open_folder(root).classes == ("f", "zoo", spellings[0])
    for label in spellings:
        dataset = open_folder(root, ["zoo", label, "f"])
        assert dict(zip(dataset.files, dataset.file_labels or (), strict=True))[f"{spellings[1]}/1.png"] == 1


@pytest.mark.parametrize("sign", "_- :")
def test_a_label_that_no_folder_can_be_called_is_found(tmp_path: Path, sign: str) -> None:
    root = put(tmp_path, f"T-shirt{sign}top/1.png", "Bag/1.png")
    assert open_folder(root, ["Bag", "T-shirt/top"]).file_labels == (0, 1)
    with pytest.raises(DataError, match="1 class folders"):
        open_folder(root, ["Bag", "T-shirt/top", f"T-shirt{sign}top"])  # it could be either
    with pytest.raises(DataError) as caught:
        open_folder(root, ["Trouser", "T-shirt/top"])
    assert "'T-shirt_top'" in (caught.value.hint or "")


def test_a_stranger_is_named_and_not_those_that_fit(tmp_path: Path) -> None:
    root = put(tmp_path, *(f"{number}/1.png" for number in range(10)), "masks/1.png")
    with pytest.raises(DataError, match=r": 1 class folders.*: 'masks'\n"):
        open_folder(root, [f"label {number}" for number in range(10)])
    with pytest.raises(DataError, match="to 'masks'"):
        check_labels(open_folder(root), 10)


def test_a_class_of_unread_formats_keeps_its_place(tmp_path: Path) -> None:
    dataset = open_folder(put(tmp_path, "a/1.heic", "b/1.png", "c/notes.txt", "d/1.png"))
    assert dataset.classes == ("a", "b", "d")
    assert dataset.file_labels == (1, 2)
    assert any("1 '.heic'" in note and "1 '.txt'" in note for note in dataset.notes)
    with pytest.raises(DataError, match=r"no images found.*1 '\.heic'"):
        open_folder(tmp_path / "a")


def test_folders_of_a_model_without_labels_that_fit_another_order_are_told(tmp_path: Path) -> None:
    names = [f"{name}/{number}.png" for name in ("Bag", "Coat", "Shirt") for number in range(6)]
    dataset = open_folder(put(tmp_path, *names))
    taken = np.array(dataset.file_labels)
    everything = range(len(dataset))
    said = better_order(dataset, everything, np.array([2, 0, 1])[taken])
    assert said is not None
    assert "0% of the answers" in said and "100% in another order" in said and "--labels" in said
    assert better_order(dataset, everything, taken) is None
    assert better_order(dataset, everything, np.zeros_like(taken)) is None, "one answer for all is no order"
    assert better_order(dataset, [0, 6, 12], np.array([2, 0, 1])) is None, "three images show no order"
    known = open_folder(tmp_path, ["Shirt", "Bag", "Coat"])
    assert better_order(known, everything, taken) is None, "the model's own labels are no assumption"


def test_the_order_of_numbered_folders_is_said_where_there_are_two(tmp_path: Path) -> None:
    plain = open_folder(put(tmp_path / "plain", *(f"{number}/1.png" for number in range(10))))
    assert plain.notes == ()
    dataset = open_folder(put(tmp_path / "eleven", *(f"{number}/1.png" for number in range(11))))
    assert "'10' is class 10" in dataset.notes[0]
    assert "it would be class 2" in dataset.notes[0]
    as_text = np.array([sorted(map(str, range(11))).index(name.split("/")[0]) for name in dataset.files])
    everything = range(len(dataset))
    said = better_order(dataset, everything, as_text)
    assert said is not None
    assert "100%" in said
    assert better_order(dataset, everything, np.array(dataset.file_labels)) is None
    half = dataset.select([5, 3])
    assert better_order(half, [0, 1], as_text[[5, 3]]) is not None
    assert better_order(plain, range(10), np.arange(10)) is None


def test_calibration_images_may_lie_anywhere(tmp_path: Path) -> None:
    root = put(tmp_path, "loose.png", "a/1.png", "train/a/2.png", ".git/3.png")
    assert set(open_images(root).files) == {"loose.png", "a/1.png", "train/a/2.png"}
    with pytest.raises(DataError, match="both in the folder"):
        open_dataset(root)


def test_every_ending_that_counts_is_read(tmp_path: Path) -> None:
    assert {".jfif", ".jpe", ".pgm"} <= EXTENSIONS
    picture = Image.new("RGB", (4, 4))
    for ending in EXTENSIONS - {".jif", ".dib", ".pbm", ".mpo"}:
        picture.convert("L" if ending == ".pgm" else "RGB").save(tmp_path / f"a{ending}", {".jif": "JPEG"}.get(ending))
    dataset = open_folder(tmp_path)
    assert len(dataset) == len(EXTENSIONS) - 4
    assert all(dataset.load(index).image.shape == (4, 4, 3) for index in range(len(dataset)))
