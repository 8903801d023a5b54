"""Everything that dmformer raises on purpose.

The tree::

    DmformerError                what happened, and `hint`: how to mend it
    ├── InputError               something given is wrong
    │   ├── CheckpointError      weights: unreadable, of another network, not finite
    │   ├── DataError            images and labels: unreadable, too few, not fitting the model
    │   │   └── TooLargeError    an image with more pixels than are allowed
    │   ├── BundleError          a bundle: damaged, incomplete, newer than this version
    │   └── UsageError           arguments that do not go together, or a size that the model cannot take
    ├── OutputError              the result cannot be written where it was asked for
    ├── MissingBackendError      a library that is not installed, with the command that installs it
    ├── BusyError                every session of a predictor was in use for as long as one may wait
    ├── DeviceError              another machine cannot be reached, was lost, or cannot do it
    ├── RejectedError            the one-call API made a bundle that fell below its tolerance
    └── EngineError              a runtime refused, crashed or computed something else
        ├── ExportError          the ONNX graph could not be made, or is not equal to the model
        └── EngineCrashError     a native library ended the process; names the step

Library code raises these and nothing else for what a user can cause; `dmformer.cli` is the only place
that turns them into a message and an exit code (2). A result below the tolerance that was asked for
is a result with ``passed=False`` and exit code 1; only ``dmformer.export``, which promises a bundle that
can be used, raises it as `RejectedError`.
"""

from __future__ import annotations


class DmformerError(Exception):
    """Base of all errors that dmformer raises on purpose; as text it is its message, and its hint on a second line.

    Args:
        message: What happened, in which file or layer: one line.
        hint: How to mend it, or None where the message says it all.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  how to mend it: {self.hint}" if self.hint else self.message

    def to_json(self) -> dict[str, str | None]:
        """The error on its way to another process; `kind_named` knows its ``kind`` again."""
        return {"kind": type(self).__name__, "message": self.message, "hint": self.hint}

    def __reduce__(self) -> tuple[type[DmformerError], tuple[str, str | None]]:
        # So that the error crosses a process boundary with its hint.
        return type(self), (self.message, self.hint)


class InputError(DmformerError):
    """Something that was given is wrong."""


class CheckpointError(InputError):
    """Weights that cannot be read, belong to another network, or are not finite."""


class DataError(InputError):
    """Images or labels that cannot be read or do not fit the model."""


class TooLargeError(DataError):
    """An image with more pixels than are allowed; told from the others because a server answers it differently."""


class BundleError(InputError):
    """A bundle that is damaged, incomplete or of a newer schema."""


class UsageError(InputError):
    """Arguments that do not go together, or a value that the model cannot take."""


class OutputError(DmformerError):
    """The result cannot be written where it was asked for."""


class MissingBackendError(DmformerError):
    """A library that is needed is not installed; the hint is the command that installs it."""


class BusyError(DmformerError):
    """Every session of a pool was in use for as long as one may wait; a server says so and lives on."""


class DeviceError(DmformerError):
    """Another machine cannot be reached, the connection to it was lost, or it cannot do what it was asked."""


class RejectedError(DmformerError):
    """A bundle was built but fell below its tolerance; the message names where it was kept and what it missed."""


class EngineError(DmformerError):
    """A runtime refused a model, or computed something else than the reference."""


class ExportError(EngineError):
    """The ONNX graph could not be made, or does not compute what the model computes."""


class EngineCrashError(EngineError):
    """A native library ended its process; the message names the step that it was in."""


def kind_named(name: object, otherwise: type[DmformerError]) -> type[DmformerError]:
    """The kind of error that another process named; another one where there is none of the name."""
    kind = globals().get(str(name))
    return kind if isinstance(kind, type) and issubclass(kind, DmformerError) else otherwise


def stop_in(error: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C or SIGTERM that a library, or an import, wrapped in an error of its own."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    # An error may be its own cause.
    while link is not None and all(link is not other for other in chain):
        if isinstance(link, KeyboardInterrupt):
            return link
        chain.append(link)
        link = link.__cause__ or link.__context__
    return None


def reraise_stop(error: BaseException) -> None:
    """Raises what `stop_in` finds, if anything."""
    if (stop := stop_in(error)) is not None:
        raise stop
