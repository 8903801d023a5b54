"""Names of tensors: never a wrong network, and rules that a person completes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from dmformer.errors import CheckpointError, UsageError
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.description import required_names
from dmformer.model.fitting import Fitted, fit
from dmformer.model.naming import pattern, reading
from dmformer.model.naming.choice import closest_reading, shapes_of
from dmformer.model.naming.dialect import Dialect, DialectFile, dialects, get_dialect, read_rules, with_rules
from dmformer.model.naming.document import rules_text
from dmformer.model.naming.modules import Module, kind_of
from dmformer.model.state_dicts import RawWeights, expected_shapes
from tests.model.elsewhere.networks import NETWORKS, network
from tests.model.small_models import State, small_checkpoint, small_config

CASES = 2000
STYLES = [name for name in NETWORKS if name != "mmseg"]
PIECES = [
    "norm", "norm1", "norm2", "bn", "attn", "dma", "fc1", "fc2", "0", "1", "weight", "bias", "gate", "scale", "head",
]  # fmt: skip


def fitted(state: State) -> Fitted:
    return fit(RawWeights(state, None, ()), None, None, None, "FILE")


def original(style: str) -> State:
    state = network(style).state_dict()
    prefix = "backbone." if any(name.startswith("backbone.") for name in state) else ""
    return {name.removeprefix(prefix): value for name, value in state.items() if "num_batches" not in name}


def spoilt(state: State, random: Random) -> State:
    """Tensors in another order, some of them dropped and some called otherwise; no two have changed places."""
    names = list(state)
    random.shuffle(names)
    changed = {name: state[name] for name in names}
    for name in random.sample(names, random.choice([0, 0, 0, 1, 2, 5])):
        del changed[name]
    for name in random.sample(list(changed), random.choice([0, 0, 1, 1, 3])):
        value = changed.pop(name)
        other = otherwise(name, names, random)
        # The name of one of the same shape, which is not there, is all that such a tensor is known by.
        if other not in state or state[other].shape != value.shape:
            changed[other] = value
    return changed


def otherwise(name: str, names: list[str], random: Random) -> str:
    parts = name.split(".")
    place = random.randrange(len(parts))
    choices = {
        "a piece": lambda: [*parts[:place], random.choice(PIECES), *parts[place + 1 :]],
        "a number": lambda: [
            str(int(part) + 1) if part.isdigit() and random.random() < 0.5 else part for part in parts
        ],
        "less": lambda: parts[:place] + parts[place + 1 :] or ["x"],
        "more": lambda: [*parts[:place], random.choice(PIECES), *parts[place:]],
        "another's": lambda: random.choice(names).split("."),
        "a prefix": lambda: [random.choice(["criterion", "ema", "module", "aux_head", "teacher"]), *parts],
    }
    return ".".join(choices[random.choice(list(choices))]())


def same(found: Fitted, wanted: Fitted) -> bool:
    if not found.config.head.has_weights:
        # Without a head it is another task, and the backbone is the same.
        left = {name for name in wanted.state if not name.startswith(("head.", "norm."))}
        return found.state.keys() == left and all(torch.equal(found.state[name], wanted.state[name]) for name in left)
    return found.config == wanted.config and all(
        torch.equal(value, wanted.state[k]) for k, value in found.state.items()
    )


@pytest.fixture
def _modules_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dialect takes a module for is its own matter: most modules of thousands of files are the same."""
    read, known = reading._assigned, dict[tuple[Any, ...], reading.Assignment]()

    def assigned(dialect: Dialect, module: Module) -> reading.Assignment:
        key = (dialect.name, module.path, *module.shapes.items())
        if key not in known:
            known[key] = read(dialect, module)
        return known[key]

    monkeypatch.setattr(reading, "_assigned", assigned)


@pytest.mark.usefixtures("_modules_read_once")
def test_a_spoilt_file_is_the_same_network_or_none() -> None:
    originals = {style: original(style) for style in STYLES}
    wanted = {style: fitted(state) for style, state in originals.items()}
    outcomes: Counter[str] = Counter()
    for case in range(CASES):
        random = Random(case)
        style = STYLES[case % len(STYLES)]
        state = spoilt(originals[style], random)
        try:
            found = fitted(state)
        except CheckpointError as error:
            outcomes["refused"] += 1
            assert len(error.message) < 4000 and error.message.isprintable()
            continue
        outcomes["loaded"] += 1
        assert same(found, wanted[style]), (case, style)
    assert min(outcomes.values()) > CASES // 10, outcomes


def test_every_name_of_the_network_is_of_the_native_dialect_and_of_a_kind() -> None:
    config = small_config(stage_norms=("stem", "before", "after"), conv_bias=("stem", "levels"))
    native = get_dialect("native")
    reading = closest_reading(expected_shapes(config), required_names())
    assert reading.dialect == native
    assert reading.fits and reading.targets == {name: name for name in expected_shapes(config)}
    assert all(kind_of(each.part or "") for each in reading.assignments)


@pytest.mark.parametrize("style", STYLES)
def test_every_dialect_says_its_own_files(style: str) -> None:
    found = fitted(original(style))
    known = style.startswith("native")
    assert known != any("named as in" in note for note in found.notes)
    assert style != "conv2former" or any("compare the answers" in note for note in found.notes)


def test_two_of_one_shape_are_shown_and_not_chosen() -> None:
    state = original("van")
    for name in [name for name in state if ".norm1." in name]:
        state[name.replace("norm1", "bn1")] = state[name] + 1
    with pytest.raises(CheckpointError, match=r"stages\.0\.0\.norm1 is block1\.0\.bn1 or block1\.0\.norm1") as caught:
        fitted(state)
    assert "--names" in (caught.value.hint or "")


def test_levels_of_one_kernel_are_not_told_apart() -> None:
    state = original("mscan")
    for name in [name for name in state if "conv1_1" in name]:
        state[name] = state[name][..., 1:-1, 1:-1].clone()
    with pytest.raises(CheckpointError, match=r"conv0_1 or block1\.0\.attn\.spatial_gating_unit\.conv1_1"):
        fitted(state)


MADE_UP = {
    "norm1": "n_a", "norm2": "n_b", "dma.expand": "mix.a", "dma.levels.0": "mix.d.x", "dma.levels.1": "mix.d.y",
    "dma.levels.2": "mix.d.z", "dma.norm": "mix.n", "dma.fuse": "mix.b", "dma.gate.reduce": "mix.g.p",
    "dma.gate.expand": "mix.g.q", "ffn.conv1": "ff.x", "ffn.conv2": "ff.y", "scale1": "s_a", "scale2": "s_b",
}  # fmt: skip
OUTSIDE = {"stem.conv1": "in.p", "stem.conv2": "in.q", "stem.conv3": "in.r", "stem.norm1": "in.v", "stem.norm2": "in.w"}


def made_up(state: State) -> State:
    """The names of a code base that nobody knows."""
    found = {}
    for name, value in state.items():
        path, _, leaf = name.rpartition(".")
        _, *rest = path.split(".")
        if path.startswith("stages."):
            path = f"trunk.part{int(rest[0]) + 1}.{rest[1]}.{MADE_UP['.'.join(rest[2:])]}"
        found[f"{OUTSIDE.get(path, path.replace('downsamples.', 'trunk.down'))}.{leaf}"] = value
    return found


@pytest.fixture
def stranger(tmp_path: Path) -> tuple[Path, ModelConfig, State]:
    checkpoint = small_checkpoint()
    torch.save(made_up(dict(checkpoint.state)), tmp_path / "stranger.pt")
    return tmp_path / "stranger.pt", checkpoint.config, dict(checkpoint.state)


def completed(text: str) -> str:
    """What a person makes of the rules that are proposed: every open line is decided."""
    return "\n".join(decided(text.splitlines()))


def decided(lines: list[str]) -> Iterator[str]:
    answers = {"in.w": "stem.norm2", "n_b": "norm2", "s_b": "scale2"}
    for line in lines:
        if not line.startswith("# ?"):
            yield line
            continue
        name = line.split('"')[1]
        assert "or" in line.rpartition("#")[2]
        yield f'"{name}" = "{answers[name]}"' if name in answers else line.removeprefix("# ? ")


def proposed(path: Path) -> str:
    tensors: dict[str, Tensor] = torch.load(path, weights_only=True)
    return rules_text(closest_reading(shapes_of(tensors), required_names()))


def test_rules_are_proposed_completed_and_used(stranger: tuple[Path, ModelConfig, State], tmp_path: Path) -> None:
    path, config, state = stranger
    text = proposed(path)
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    with pytest.raises(CheckpointError, match=r"missing stem\.norm1"):
        load_checkpoint(path, names=rules)
    rules.write_text(completed(text))
    found = load_checkpoint(path, names=rules)
    assert found.config == config
    assert all(torch.equal(found.state[name], value) for name, value in state.items())
    assert found.names == read_rules(rules)
    again = load_checkpoint(path, names=found.names)
    assert again.state.keys() == found.state.keys()


def test_a_wrong_choice_does_not_load(stranger: tuple[Path, ModelConfig, State], tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    for before, after in (('"n_b" = "norm2"', '"n_b" = "norm1"'), ('"mix.b" = "dma.fuse"', '"mix.b" = "dma.expand"')):
        text = completed(proposed(stranger[0]))
        assert before in text
        rules.write_text(text.replace(before, after))
        with pytest.raises(CheckpointError):
            load_checkpoint(stranger[0], names=rules)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[network", "is no TOML"),
        ("title = 3", "no rules of names"),
        ('surprise = "x"', "no rules of names"),
        ('[network]\n"{s" = "norm"', "no pattern of names"),
        ('like = "nobody\'s"', "there is no dialect"),
        ("x" * (2**20 + 1), "larger than"),
    ],
)
def test_rules_that_are_none_are_refused_in_a_line(
    content: str, problem: str, stranger: tuple[Path, ModelConfig, State], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(content)
    with pytest.raises(UsageError, match=problem) as caught:
        load_checkpoint(stranger[0], names=rules)
    assert len(caught.value.message) < 600


def test_what_a_person_leaves_out_is_left_out() -> None:
    state = original("van") | {"probe.weight": torch.ones(3, 4)}
    with pytest.raises(CheckpointError, match=r"surplus probe\.weight"):
        fitted(state)
    rules = with_rules(DialectFile(like="van", network={"probe": ""}))
    assert fit(RawWeights(state, None, ()), None, None, rules, "FILE").config.classes == 5


@pytest.mark.parametrize(
    ("theirs", "name", "found"),
    [
        ("block{s+1}.{b}", "block1.0", {"s": 0, "b": 0}),
        ("block{s+1}.{b}", "block0.0", None),
        ("network.{2s+1}", "network.3", {"s": 1}),
        ("network.{2s+1}", "network.2", None),
        ("(a|b.c).**.x", "b.c.d.e.x", {}),
        ("**.x*", "x1", {}),
        ("a.*", "a.b.c", None),
        ("a.b", "a.bc", None),
        ("a.", "a.b.c", {}),
        ("{s}.{s}", "1.2", None),
        ("block{s}", "block99999", None),
    ],
)
def test_patterns(theirs: str, name: str, found: dict[str, int] | None) -> None:
    fits = pattern.match(theirs, name)
    assert (fits[0] if fits else None) == found
    assert (pattern.first_of([theirs])(name) == 0) or fits is None


def test_the_rules_of_all_dialects_lead_to_parts_of_the_network() -> None:
    config = small_config(stage_norms=("stem", "before", "after"), depths=(2, 2, 2, 2))
    parts = {name.rpartition(".")[0] for name in expected_shapes(config)}
    for dialect in (get_dialect("native"), *dialects()):
        for rule in dialect.rules:
            for target in rule.ours:
                filled = pattern.fill(target, {"s": 0, "b": 1, "k": 2, "i": 1}).replace("{kernel}", "1")
                known = filled in parts or filled.endswith(("{matrix}", "head.conv_seg", "head.", "head.neck."))
                assert known, (dialect.name, rule)
