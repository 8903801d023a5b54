"""The Typer application, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from typer.core import TyperCommand

from dmformer import chatter
from dmformer.cli.bench import BENCH
from dmformer.cli.build import BUILD
from dmformer.cli.cache import CACHE
from dmformer.cli.calibrate import CALIBRATE
from dmformer.cli.compare import COMPARE
from dmformer.cli.declare import Command
from dmformer.cli.device import DEVICE, GROUP_HELP
from dmformer.cli.doctor import DOCTOR
from dmformer.cli.embed import EMBED
from dmformer.cli.exit_codes import FAULT, READER_LEFT, STOPPED, TERMINATED, WRONG_INPUT
from dmformer.cli.export import EXPORT
from dmformer.cli.inspect import INSPECT
from dmformer.cli.predict import PREDICT
from dmformer.cli.report import REPORT
from dmformer.cli.signals import Terminated
from dmformer.cli.streams import abandon, keep_trace
from dmformer.cli.verify import VERIFY
from dmformer.errors import DmformerError, stop_in
from dmformer.files import utf8_name
from dmformer.texts import one_line, printable

P = ParamSpec("P")
PICTURES = {"images"}
"""Arguments whose files are opened by dmformer itself, under whatever name a camera gave them."""
COMMANDS = (
    EXPORT, BUILD, VERIFY, PREDICT, EMBED, BENCH, COMPARE, REPORT, INSPECT, CALIBRATE, CACHE, *DEVICE, DOCTOR,
)  # fmt: skip
"""In the order of the help."""
PLAIN = {"dumb", "unknown"}
"""Terminals that take no commands."""
HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="dmformer",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=HELP,
    epilog="Start with [bold]dmformer doctor[/bold], then [bold]dmformer export --target openvino[/bold].",
)
GROUPS = {"device": typer.Typer(no_args_is_help=True, rich_markup_mode="rich", context_settings=HELP, help=GROUP_HELP)}


def _version(wanted: bool) -> None:
    if wanted:
        from dmformer.version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the libraries say, and the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From trained DMFormer weights to small, fast and verified engines."""
    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """A command whose result is its exit code, and whose errors are a message, a hint and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            from dmformer.host import keep_to_quota

            keep_to_quota()
            for name, value in kwargs.items():
                if name not in PICTURES:
                    check_words(value)
            code = command(*args, **kwargs)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except BrokenPipeError:
            abandon()
            code = READER_LEFT
        except (Exception, KeyboardInterrupt) as error:
            code = told(error)
        raise typer.Exit(code)

    return run


def check_words(value: object) -> None:
    """Refuses a word that is no UTF-8: documents cannot hold it, and most libraries open no file by such a name.

    Raises:
        OutputError: Names it.
    """
    if isinstance(value, list | tuple):
        for one in value:
            check_words(one)
    elif isinstance(value, str | Path):
        utf8_name(Path(value), "rename it, or give a link to it")


def told(error: BaseException) -> int:
    """Says what went wrong and returns the exit code for it."""
    if (stop := stop_in(error)) is not None:
        code = TERMINATED if isinstance(stop, Terminated) else STOPPED
        return complain("stopped; nothing unfinished was left behind", None, code)
    trace = "".join(traceback.format_exception(error)).splitlines()
    chatter.LOGGER.debug("%s", "\n".join(map(printable, trace)))
    if isinstance(error, DmformerError):
        return complain(error.message, error.hint, WRONG_INPUT)
    if isinstance(error, ModuleNotFoundError) and (missing := _missing(error)):
        return complain(*missing, WRONG_INPUT)
    if isinstance(error, OSError):
        return complain(f"{error.filename or 'the file system'}: {error.strerror or error}", None, WRONG_INPUT)
    said = f"a fault of dmformer: {type(error).__name__}: {error}"
    return complain(said, f"report it with {keep_trace(error)}, which holds the traceback", FAULT)


def _missing(error: ModuleNotFoundError) -> tuple[str, str] | None:
    """What to say of a library that only the export side has; anything else is a fault of ours."""
    from dmformer.host import EXPORT_PACKAGES

    package = (error.name or "").partition(".")[0]
    if package not in EXPORT_PACKAGES:
        return None
    return f"this needs {package}, which is not installed", "pip install 'dmformer[export]'"


def complain(message: str, hint: str | None, code: int) -> int:
    """Prints an error as one line, and how to mend it as another; returns the exit code."""
    mark = "error: " if os.environ.get("TERM") in PLAIN else typer.style("error: ", fg="red", bold=True)
    typer.echo(mark + one_line(message), err=True)
    if hint:
        typer.echo(f"  how to mend it: {one_line(hint)}", err=True)
    return code


class Helpful(TyperCommand):
    """A command that tells who writes ``--weights best.pt`` that weights are named without it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Its kind stands in another module in each version of Typer.
            name = getattr(error, "option_name", None)
            arguments = [str(one.name) for one in self.params if one.param_type_name == "argument"]
            if name == "--on":
                names = ", ".join(one.name for one in COMMANDS if one.travels)
                vars(error).update(message=f"--on goes with {names}: {ctx.info_name} runs here", possibilities=None)
            if name in {f"--{word}" for one in arguments for word in (one, one.removesuffix("s"))}:
                said = f"No such option: {name}: leave it out and give its value alone"
                vars(error).update(message=said, possibilities=None)
            raise


def add(command: Command) -> None:
    """Makes a command of what is declared, in a group where its name says so."""
    group, _, name = command.name.rpartition(" ")
    place = GROUPS[group] if group else app
    place.command(name, cls=Helpful, context_settings=HELP, epilog=command.epilog)(guarded(command.function()))


for each in COMMANDS:
    add(each)
for title, part in GROUPS.items():
    app.add_typer(part, name=title)
