"""The reference of the command line, made of what Typer knows of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dmformer.cli.app import app

HEAD = """# Commands

`dmformer COMMAND --help` says the same. `--verbose` before the command shows what the libraries say.
"""
MARKUP = re.compile(r"\[/?(?:bold|dim|cyan)\]")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds ``reference/commands.md``."""
    group: Any = typer.main.get_command(app)
    text = "\n".join([HEAD, *(line for name, command in _commands(group) for line in _command(name, command))])
    files.append(File.generated(config, "reference/commands.md", content=text))
    return files


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """All commands by what is typed; of a group those in it, as ``device add``."""
    for command in group.commands.values():
        name = f"{before}{command.name}"
        yield from _commands(command, f"{name} ") if hasattr(command, "commands") else [(name, command)]


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each.name.upper() for each in command.params if each.param_type_name == "argument"]
    yield f"## {name}\n"
    yield f"`dmformer {' '.join([name, *arguments, '[OPTIONS]'])}`\n"
    yield f"{_escaped(command.help)}\n"
    for line in MARKUP.sub("", command.epilog or "").split("\n\n")[1:]:
        typed, _, why = line.partition("  ")
        yield f"- `{typed}`: {_escaped(why)}"
    for panel, parameters in groupby(sorted(command.params, key=_panel), _panel):
        yield f"\n**{panel or 'Arguments and options'}**\n\n| | what | default |\n|---|---|---|"
        yield from map(_row, parameters)
    yield ""


def _panel(parameter: Any) -> str:
    return parameter.rich_help_panel or ""


def _row(parameter: Any) -> str:
    names = parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]
    flags = ", ".join(f"`{name}`" for name in [*names, *parameter.secondary_opts])
    shown = parameter.show_default
    default = shown if isinstance(shown, str) else parameter.default if shown else None
    return f"| {flags} | {_escaped(parameter.help or '')} | {_default(default)} |"


def _default(value: object) -> str:
    if value in (None, False, (), []) or callable(value):
        return ""
    return "yes" if value is True else _escaped(" ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _escaped(text: str) -> str:
    """Text as Markdown shows it unchanged in a cell."""
    return re.sub(r"([<>|*_\[\]])", r"\\\1", text)
