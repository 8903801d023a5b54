"""The other end of a command that travels: does one request in the device's own environment, and tells how it goes.

Standard input holds one JSON document; each line of standard output is another: ``{"say": ...}``,
``{"track": ..., "total": ...}`` and ``{"at": ...}`` while it works, last ``{"document": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dmformer import errors, telemetry
from dmformer.host import keep_to_quota
from dmformer.processes import end_with
from dmformer.targets import load
from dmformer.texts import first_problem

T = TypeVar("T")
STEPS = 100
"""Of a bar: more would be sent for nothing."""


class Told:
    """Progress as lines."""

    def __init__(self, say: Any) -> None:
        self._say = say

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        self._say({"track": description, "total": total})
        shown = 0
        for count, item in enumerate(items, 1):
            yield item
            if count * STEPS // max(total, 1) > shown:
                shown = count * STEPS // max(total, 1)
                self._say({"at": count})
        self._say({"at": None})

    def say(self, message: str) -> None:
        self._say({"say": message})


def request_of(kind: Any, options: Any) -> Any:
    """A request from JSON.

    Raises:
        UsageError: It is one of another version.
    """
    try:
        return TypeAdapter(kind).validate_python(options)
    except ValidationError as error:
        raise errors.UsageError(f"no request of this version: {first_problem(error)}") from error


def main() -> None:
    """Ends with exit code 0 where a document was made or an error of ours told."""
    end_with(os.getppid())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=answers, flush=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    telemetry.switch_off()
    keep_to_quota()
    try:
        asked = json.loads(sys.stdin.read())
        document = load(asked["run"])(request_of(load(asked["request"]), asked["options"]), Told(say))
        say({"document": document.model_dump(mode="json", by_alias=True)})
    except errors.DmformerError as error:
        say({"error": error.to_json()})


if __name__ == "__main__":
    main()
