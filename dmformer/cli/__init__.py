"""The command line: parse, one call into the library, print.

The only place that turns errors into messages and exit codes: 0 done and within tolerance, 1 done but
below it, 2 wrong input or missing environment, 130 stopped by Ctrl-C. Nothing heavy is imported before a
command runs.
"""

from __future__ import annotations

BELOW_TOLERANCE = 1
WRONG_INPUT = 2
STOPPED = 130


def main() -> None:
    """The entry point ``dmformer``. Always ends by SystemExit."""
    try:
        from dmformer.cli.app import app

        app(prog_name="dmformer")
    except KeyboardInterrupt:
        # Stopped before a command had begun.
        raise SystemExit(STOPPED) from None
