"""From a request to a command: its options are the request's, its work is one call, its answer is a document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import MISSING, dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args, get_origin

import typer

from dmformer.cli.exit_codes import BELOW_TOLERANCE, WRONG_INPUT
from dmformer.cli.on import ON, Travels, deliver_on
from dmformer.errors import UsageError
from dmformer.options import Leaf, filled, leaves, values
from dmformer.targets import load

if TYPE_CHECKING:
    from dmformer.documents import Document

Given: TypeAlias = tuple[Leaf, ...]
"""The options that were typed."""
CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Options from a TOML file, or those that made a bundle; what is typed wins.",
        show_default=False,
        metavar="PATH",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", metavar="")]


METAVARS: dict[Any, str] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}
"""Short, so that the names of options have room in 80 columns."""


def as_given(given: Given, request: Any) -> Any:
    """Of a command all options of which are always read, and of which nothing else follows."""
    return request


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        name: Of the command.
        request: A dataclass whose fields are its options; see `dmformer.options`.
        run: The function of the library that it calls, as ``module:name``, with the request and a
            `dmformer.progress.Progress`; imported when the command runs. Gives a `dmformer.documents.Document`.
        show: Shows the document to people.
        help: What it does, and its exit codes.
        examples: Lines to type, and why one would.
        settle: Refuses options that nothing would read, before anything runs, and gives the request with what follows
            from others.
        keep: What is done once the document is shown, so that a place that cannot be written loses nothing:
            ``module:name`` of a function of the request and the document.
        talks: Whether people's text is shown beside a JSON document too.
        written: Whether a run can be written down: ``--config``.
        travels: How it runs on another machine (``--on``); None where it does not.
    """

    name: str
    request: type
    run: str
    show: Callable[[Any], None]
    help: str
    examples: tuple[tuple[str, str], ...] = ()
    settle: Callable[[Given, Any], Any] = as_given
    keep: str | None = None
    talks: bool = True
    written: bool = False
    travels: Travels | None = None

    @property
    def epilog(self) -> str | None:
        """The examples under the help."""
        lines = [f"[cyan]{line}[/cyan]  [dim]{why}[/dim]" for line, why in self.examples]
        return "\n\n".join(["[bold]Examples[/bold]", *lines]) if lines else None

    def function(self) -> Callable[..., int]:
        """What Typer makes a command of: one parameter for each option. Gives the exit code."""
        options = leaves(self.request)

        def call(
            context: typer.Context, json: bool, config: Path | None = None, on: Sequence[str] = (), **typed: Any
        ) -> int:
            given = {leaf: checked(leaf, typed[word(leaf)]) for leaf in options if is_typed(context, leaf)}
            written: dict[Leaf, Any] = {}
            if config is not None:
                from dmformer.run_file import read_run

                written = read_run(config, options, given)
            request: Any = filled(self.request, values(written) | values(given))
            request = self.settle((*written, *given), request)
            if on:
                return deliver_on(self, request, on, json)
            return self.deliver(request, json)

        parameters = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context), *map(parameter, options)]
        if self.written:
            parameters.append(Parameter("config", Parameter.KEYWORD_ONLY, default=None, annotation=CONFIG))
        if self.travels is not None:
            parameters.append(Parameter("on", Parameter.KEYWORD_ONLY, default=[], annotation=ON))
        parameters.append(Parameter("json", Parameter.KEYWORD_ONLY, default=False, annotation=JSON))
        call.__doc__ = self.help
        call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    def deliver(self, request: Any, json: bool) -> int:
        """Runs a request and shows what came of it; the exit code."""
        from dmformer.terminal import Shown

        return self.told(request, load(self.run)(request, Shown()), json, self.show)

    def told(self, request: Any, document: Document, json: bool, show: Callable[[Any], None]) -> int:
        """Shows a document, and keeps it where that was asked for; the exit code."""
        if self.talks or not json:
            # The document has stdout for itself.
            with redirect_stdout(sys.stderr if json else sys.stdout):
                show(document)
        if json:
            sys.stdout.write(document.to_json())
        if self.keep is not None:
            load(self.keep)(request, document)
        if not document.answered:
            return WRONG_INPUT
        return 0 if document.within_tolerance else BELOW_TOLERANCE


def is_list(leaf: Leaf) -> bool:
    """Whether it is an option that takes several values: each time that it is given, or with commas between them."""
    return get_origin(leaf.typed) is list and leaf.option.flags.startswith("-")


def item(leaf: Leaf) -> Any:
    """The type of what is typed, or of one of several."""
    return get_args(leaf.typed)[0] if get_origin(leaf.typed) is list else leaf.typed


def checked(leaf: Leaf, typed: Any) -> Any:
    """What was typed, with lists at their commas.

    Raises:
        UsageError: A value is none of the option's type, or out of its bounds.
    """
    values = typed
    if is_list(leaf):
        words = [word.strip() for one in typed for word in one.split(",")]
        try:
            values = [item(leaf)(word) for word in words]
        except ValueError as error:
            raise UsageError(f"{leaf.flag} {','.join(words)[:80]!r} is no list of numbers", leaf.option.help) from error
    low, high = leaf.option.min, leaf.option.max
    for value in values if is_list(leaf) else [values]:
        if not ((low is None or value >= low) and (high is None or value <= high)):
            raise UsageError(f"{leaf.flag} cannot be {value}{bounds(leaf)}", leaf.option.help)
    return values


def bounds(leaf: Leaf) -> str:
    """What its help, and an error, say of the numbers that it takes."""
    low, high = leaf.option.min, leaf.option.max
    if low is None and high is None:
        return ""
    return f" ({low:g} or more)" if high is None else f" ({low:g} to {high:g})"


def word(leaf: Leaf) -> str:
    """An option's name as a parameter's."""
    return leaf.name.replace("-", "_")


def is_typed(context: typer.Context, leaf: Leaf) -> bool:
    """Whether an option stands on the command line, be it with the default's value."""
    source = context.get_parameter_source(word(leaf))
    return source is not None and source.name == "COMMANDLINE"


def parameter(leaf: Leaf) -> Parameter:
    """An option as Typer takes it; its default is only what the help shows."""
    option, typed = leaf.option, list[str] if is_list(leaf) else leaf.typed
    default = False if option.const is not None else leaf.default
    if isinstance(default, tuple):
        default = None
    shown: bool | str = option.default or default is not None
    if option.flags.startswith("-"):
        info = typer.Option(
            *option.flags.split(),
            help=option.help + bounds(leaf),
            show_default=shown,
            rich_help_panel=option.panel,
            metavar=METAVARS[item(leaf)],
        )
    else:
        info = typer.Argument(help=option.help, show_default=False)
    return Parameter(
        word(leaf),
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if default is MISSING else default,
        annotation=Annotated[typed | None if default is None else typed, info],
    )
