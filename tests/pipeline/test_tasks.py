"""``--task`` and ``--head``: the embedded segmenter, presets with its head, and weights for another task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmformer import assets
from dmformer.errors import UsageError
from dmformer.model.checkpoint import load_checkpoint
from dmformer.pipeline.sources import demonstration_of, open_sources
from dmformer.pipeline.weights import choose_weights
from dmformer.pipeline.weights_options import WeightsOptions
from tests.support import Command, invoke, one_line


def test_the_embedded_segmenter_is_small_and_has_names_and_colours() -> None:
    checkpoint = load_checkpoint(assets.scenes_checkpoint())
    assert assets.scenes_checkpoint().stat().st_size <= 12_000_000
    assert sum(tensor.numel() for tensor in checkpoint.state.values()) <= 3_000_000
    scenes = assets.test_scenes()
    assert (checkpoint.labels, checkpoint.palette) == (scenes.classes, scenes.palette)
    assert checkpoint.preprocessing.resize == "letterbox"
    shown = demonstration_of(checkpoint.digest)
    assert shown is not None and shown.file == assets.SCENES_CHECKPOINT


def test_a_task_without_weights_means_its_embedded_checkpoint() -> None:
    sources = open_sources(None, None, None, 3, task="segmentation")
    assert sources.checkpoint.config.task.name == "segmentation"
    assert sources.dataset is not None and sources.dataset.load(1).mask is not None
    assert any("trained on composed scenes" in note for note in sources.notes)
    assert any("composed test scenes serves (2000 images)" in note for note in sources.notes)


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({"task": "segmentation"}, "fpn"),
        ({"task": "segmentation", "head": "upernet"}, "upernet"),
        ({"head": "fpn"}, "fpn"),
        ({}, "linear"),
        ({"task": "classification"}, "linear"),
    ],
)
def test_a_preset_has_the_head_of_the_task(options: dict[str, str], head: str, command: Command) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    out, _ = command("inspect", "--preset", "tiny", *words, "--json")
    assert json.loads(out)["config"]["head"]["kind"] == head


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (["--task", "segmentation", "WEIGHTS"], "mini: its head is linear, which is for classification, not for seg"),
        (["--task", "classification", "SCENES"], "its head is fpn, which is for segmentation, not for classification"),
        (["--task", "detection"], "there is no task 'detection'"),
        (["--head", "fpn", "WEIGHTS"], "--head describes a preset, and none was given"),
        (["--preset", "tiny", "--random-weights", "--head", "mask"], "there is no head 'mask'"),
        (
            ["--preset", "tiny", "--random-weights", "--task", "classification", "--head", "fpn"],
            "its head is fpn, which is for segmentation, not for classification",
        ),
    ],
)
def test_what_does_not_fit_the_task_is_one_line(
    line: list[str], problem: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"WEIGHTS": weights, "SCENES": assets.scenes_checkpoint()}
    words = [str(files.get(word, word)) for word in line]
    code, _, err = invoke(capsys, "export", *words, "--output", tmp_path / "out")
    assert code == 2
    assert problem in one_line(err)
    assert not (tmp_path / "out").exists()


def test_head_needs_a_preset() -> None:
    with pytest.raises(UsageError, match="--head describes a preset"):
        choose_weights(WeightsOptions(head="fpn"))
