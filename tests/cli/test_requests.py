"""Every command as data: what it is asked and what it answers can be sent to another machine, and are documented."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter

import dmformer
from dmformer import assets
from dmformer.bundle import sha256_of
from dmformer.cli.app import COMMANDS
from dmformer.cli.declare import Command
from dmformer.documents import Document
from dmformer.options import Leaf, choices, filled, leaves
from tests.support import answer_of

EVERY = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def another(leaf: Leaf) -> Any:
    """A value that is not the default."""
    if leaf.option.const is not None:
        return leaf.option.const
    if known := choices(leaf.kind):
        return next(value for value in known if value != leaf.default)
    return something(leaf.kind, leaf.default)


def something(kind: Any, default: Any) -> Any:
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        return tuple(something(part, None) for part in (parts[:1] * 2 if parts[-1] is ... else parts))
    if get_args(kind):
        return something(get_args(kind)[0], default)
    samples: dict[Any, Any] = {bool: default is not True, int: 17, float: 0.25, str: "text", Path: Path("a/b")}
    return samples[kind]


def groups(request: type) -> Iterator[type]:
    yield request
    for hint in get_type_hints(request).values():
        if is_dataclass(hint) and isinstance(hint, type):
            yield from groups(hint)


@EVERY
def test_a_request_goes_through_json_and_back(command: Command) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(command.request)
    # A camera is one stream.
    everything = {leaf.place: another(leaf) for leaf in leaves(command.request) if leaf.name != "fps"}
    needed = {leaf.place: another(leaf) for leaf in leaves(command.request) if leaf.default is MISSING}
    for given in (everything, needed):
        request: Any = filled(command.request, given)
        assert adapter.validate_json(adapter.dump_json(request)) == request


@EVERY
def test_a_command_takes_its_request_and_gives_a_document(command: Command) -> None:
    function = pydoc.locate(command.run.replace(":", "."))
    assert inspect.isfunction(function)
    assert get_type_hints(function)["options"] in {command.request, command.request | None}
    answer = answer_of(command.name)
    for document in get_args(answer) or (answer,):
        assert issubclass(document, Document)
        schema = document.model_fields["schema_"]
        assert str(schema.default).startswith(f"dmformer.{command.name.split()[0]}/")


@EVERY
def test_every_field_of_a_request_is_documented(command: Command) -> None:
    for group in groups(command.request):
        described = inspect.getdoc(group) or ""
        missing = [entry.name for entry in fields(group) if entry.name not in described]
        assert not missing, (group, missing)


def test_the_groups_of_an_export_s_options_are_public() -> None:
    for group in groups(dmformer.ExportOptions):
        assert getattr(dmformer, group.__name__) is group


def test_the_embedded_checkpoint_is_read_where_none_is_named() -> None:
    assert dmformer.load_checkpoint().digest == sha256_of(assets.checkpoint())
