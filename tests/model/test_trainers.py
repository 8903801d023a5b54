"""Averaged and plain weights in one file: which are taken, that it is said, and the conversion of pickled files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dmformer.errors import CheckpointError
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from tests.model.small_models import State, nested, small_checkpoint

WANTED, OTHER = small_checkpoint(1), small_checkpoint(2)


def parameters(state: State) -> State:
    return {name: value for name, value in state.items() if "running_" not in name}


def averages(state: State, other: State) -> dict[str, tuple[dict[str, Any], str]]:
    """What trainers save beside plain weights, by form, and what must be said; ``state`` is what is meant."""
    used: dict[str, dict[str, Any]] = {
        "ema_model": {"model": other, "ema_model": state},
        "ema_state_dict": {"state_dict": other, "ema_state_dict": {f"module.{k}": v for k, v in state.items()}},
        "swa_state_dict": {"state_dict": other, "swa_state_dict": state},
        "shadow": {"model": other, "ema": {"decay": 0.9, "shadow": state}},
    }
    forms = {
        name: (content, f"(EMA) weights under '{'ema' if name == 'shadow' else name}'")
        for name, content in used.items()
    }
    forms["mmengine"] = (
        {"message_hub": {}, "state_dict": state, "ema_state_dict": other},
        "averaged weights under 'state_dict' are used",
    )
    forms["lightning"] = (
        {"averaging_state": {"n_averaged": torch.tensor(1)}, "state_dict": state, "current_model_state": other},
        "averaged weights under 'state_dict' are used",
    )
    forms["averaging_state"] = ({"state_dict": state, "averaging_state": {"model": other}}, "'averaging_state'")
    forms["teacher"] = ({"model": state, "teacher": other}, "not those under 'teacher'")
    forms["a teacher alone"] = ({"student": other, "teacher": state}, "under 'teacher' are used")
    forms["parameters alone"] = ({"model": state, "ema": {"shadow": parameters(other)}}, "'ema' are not used")
    forms["a list"] = ({"model": state, "ema": {"shadow_params": list(other.values())}}, "'ema' may be averaged")
    forms["of another name"] = ({"model": state, "my_ema_weights": other}, "'my_ema_weights' may be averaged")
    return forms


FORMS = averages(dict(WANTED.state), dict(OTHER.state))


def meant(found: Checkpoint) -> bool:
    return all(torch.equal(value, WANTED.state[name]) for name, value in found.state.items())


@pytest.mark.parametrize("form", FORMS)
def test_averages_are_said_by_name(form: str, tmp_path: Path) -> None:
    content, said = FORMS[form]
    torch.save(content, tmp_path / "weights.pt")
    found = load_checkpoint(tmp_path / "weights.pt", config=WANTED.config)
    assert meant(found)
    assert any(said in note for note in found.notes), found.notes


def test_numbers_that_are_called_so_are_not_averages(tmp_path: Path) -> None:
    content = {"model": dict(WANTED.state), "ema_decay": 0.9, "ema": None, "swa_start": torch.tensor(3), "average": {}}
    torch.save(content, tmp_path / "weights.pt")
    assert len(load_checkpoint(tmp_path / "weights.pt", config=WANTED.config).notes) == 1


def pickled_forms() -> dict[str, Any]:
    plain = nested(dict(WANTED.build().state_dict()), dict(OTHER.state))
    module, other = WANTED.build(), OTHER.build()
    forms = {name: {**content, "args": Path("runs")} for name, content in plain.items()}
    forms |= {f"average {name}": {**content, "args": Path("runs")} for name, (content, _) in FORMS.items()}
    wrapped = nn.Module()
    wrapped.module = module
    return forms | {
        "module": module,
        "module in a dictionary": {"model": module},
        "no plain module": {"model": None, "ema": module},
        "both modules": {"model": other, "ema": module},
        "a wrapped module": {"model": other, "model_ema": wrapped},
        "module in a module": wrapped,
    }


@pytest.mark.parametrize("form", pickled_forms())
def test_the_conversion_that_is_printed_keeps_what_the_loader_takes(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(pickled_forms()[form], "checkpoint.pt")
    with pytest.raises(CheckpointError, match="could run any code") as caught:
        load_checkpoint("checkpoint.pt", config=WANTED.config)
    command = re.search(r'python -c "([^"]+)"', caught.value.hint or "")
    assert command
    exec(command[1], {})
    assert meant(load_checkpoint("weights.pt", config=WANTED.config))
