"""Options that are declared as fields: how they are found, what is made of what is typed, and what is written down."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmformer.errors import UsageError
from dmformer.options import Only, Option, command_line, filled, leaves, refuse_idle, refuse_without, values, written


@dataclass(frozen=True)
class Inner:
    count: Annotated[int, Option("--count", "Of them.", "Panel", min=1)] = 3
    mode: Annotated[Literal["a", "b"] | None, Option("--mode", "Which.", "Panel")] = None
    not_an_option: int = 7


@dataclass(frozen=True)
class Request:
    path: Annotated[Path, Option("path", "A file.")]
    kind: Annotated[
        Literal["no", "half", "int8"],
        Option("--half --fp16", "Half.", const="half"),
        Option("--int8", "Integers.", const="int8"),
    ] = "no"
    sizes: Annotated[tuple[int, ...], Option("--size", "Of it.")] = ()
    upper: Annotated[str, Option("--upper/--lower", "Letters.", parse=str.upper)] = "X"
    inner: Inner = Inner()
    less: Annotated[Inner, Only("mode")] = Inner(count=9)


OPTIONS = {(leaf.flag, leaf.place): leaf for leaf in leaves(Request)}


def leaf(flag: str, *place: str) -> Any:
    return next(one for one in leaves(Request) if one.flag == flag and (not place or one.place == place))


def test_groups_are_flattened_in_the_order_of_declaration() -> None:
    assert [(one.name, one.place) for one in leaves(Request)] == [
        ("path", ("path",)), ("half", ("kind",)), ("int8", ("kind",)), ("size", ("sizes",)), ("upper", ("upper",)),
        ("count", ("inner", "count")), ("mode", ("inner", "mode")), ("mode", ("less", "mode")),
    ]  # fmt: skip
    assert [one.typed for one in leaves(Request)] == [Path, bool, bool, list[int], str, int, str, str]
    assert [one.default for one in leaves(Request)][:2] == [MISSING, "no"]
    assert leaf("--half").option.names == ("half", "fp16")


def test_what_is_typed_becomes_a_request() -> None:
    typed = {
        leaf("path"): Path("x"), leaf("--half"): True, leaf("--size"): [1, 2], leaf("--count"): 5,
        leaf("--upper/--lower"): "abc", leaf("--mode", "less", "mode"): "b",
    }  # fmt: skip
    made_of_it = filled(Request, values(typed))
    assert made_of_it == Request(Path("x"), "half", (1, 2), "ABC", Inner(5), Inner(mode="b"))
    assert filled(Request, values({leaf("path"): Path("x")})) == Request(Path("x"))


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="--half and --int8 exclude each other"):
        values({leaf("--half"): True, leaf("--int8"): True})
    with pytest.raises(UsageError, match="there is no mode 'c'") as caught:
        values({leaf("--mode"): "c"})
    assert caught.value.hint == "choose from: a, b"


@given(st.sampled_from(["no", "half", "int8"]), st.lists(st.integers()), st.integers(1), st.sampled_from([None, "a"]))
def test_what_is_written_makes_the_same_request(kind: Any, sizes: list[int], count: int, mode: Any) -> None:
    request = Request(Path("x"), kind, tuple(sizes), inner=Inner(count, mode))
    said = written(request)
    assert written(request, {"size"}) == {name: value for name, value in said.items() if name != "size"}
    names = {name: one for one in leaves(Request) if one.place[0] != "less" for name in one.option.names}
    typed = {names[name]: Path(value) if name == "path" else value for name, value in said.items()}
    assert filled(Request, values(typed)) == request
    assert written(Request(Path("x"))) == {"path": "x"}, "defaults are left out"


def test_the_line_to_type_names_no_directory() -> None:
    request = Request(Path("/home/me/x y"), sizes=(1, 2), inner=Inner(5), less=Inner(9, "a"))
    assert command_line("do", request) == "dmformer do 'x y' --size 1 --size 2 --count 5 --mode a"


def test_options_that_nothing_reads_are_named() -> None:
    typed = [leaf("path"), leaf("--count")]
    refuse_idle(typed, {"Other", "size"}, "is odd", "leave it out")
    with pytest.raises(UsageError, match=r"^--count does nothing without --all\n"):
        refuse_without(typed, "--all", "Panel")
    with pytest.raises(UsageError, match=r"^path is odd\n"):
        refuse_idle(typed, {"path"}, "is odd", "leave it out")
