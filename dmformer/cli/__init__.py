"""The command line: parse, one call into the library, print.

The only place that turns errors into messages and exit codes: 0 done and within tolerance, 1 done but
below it, 2 wrong input or missing environment, 70 a fault of dmformer itself, 130 stopped by Ctrl-C, 141 the
reader of its output left (``| head``), 143 stopped by SIGTERM. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from dmformer.cli.exit_codes import READER_LEFT, STOPPED, TERMINATED


def main() -> None:
    """The entry point ``dmformer``. Always ends by SystemExit."""
    from dmformer.cli.signals import Terminated, listen
    from dmformer.errors import stop_in

    try:
        listen()
        _run()
    except BaseException as end:
        # Typer makes exit code 130 of every stop that no command saw, SIGTERM too; an import may make any error of it.
        if (stop := stop_in(end)) is None:
            raise
        raise SystemExit(TERMINATED if isinstance(stop, Terminated) else STOPPED) from None


def _run() -> None:
    """Ends by SystemExit, or by what stopped it."""
    from dmformer.cli.streams import abandon, prepare, reader_left

    prepare()
    from dmformer import telemetry
    from dmformer.cli.app import app, told

    try:
        telemetry.switch_off()
        app(prog_name="dmformer")
    except BrokenPipeError:
        abandon()
        raise SystemExit(READER_LEFT) from None
    except SystemExit as end:
        raise SystemExit(READER_LEFT if reader_left(end) else end.code) from end.__context__
    except Exception as error:
        # Of Typer itself: a command's own never get here.
        raise SystemExit(told(error)) from None
